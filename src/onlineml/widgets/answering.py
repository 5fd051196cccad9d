"""A stop for a person: running all cells of a notebook ends before work that is to use the person's answers."""

from __future__ import annotations

from onlineml.errors import OnlineMLError
from onlineml.widgets._view import has_front_end

__all__ = ["AnswersAwaitedError", "answer_first"]


class AnswersAwaitedError(OnlineMLError):
    """End of running all cells, where a person is to answer before the next cell; shown as one sentence."""

    def _render_traceback_(self) -> list[str]:  # IPython's protocol for exceptions that show themselves
        return [str(self)]


def answer_first() -> None:
    """Stop running all cells in front of a person; do nothing where there is none, as in a scheduled run.

    Raises:
        AnswersAwaitedError: the notebook is open in a browser or editor. The next cells are run by hand.
    """
    if has_front_end():
        raise AnswersAwaitedError("Answer above, as many as you like. Then go on: run the cells below this one.")
