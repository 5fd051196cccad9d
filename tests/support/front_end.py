"""A front end without a browser: it asks a view and keeps what it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.widgets._view import View

__all__ = ["FrontEnd"]


class FrontEnd:
    """Stands where the widget stands."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.told: list[tuple[dict[str, Any], list[bytes]]] = []
        view._widget = self
        self.n = 0

    def send(self, content: dict[str, Any], buffers: Sequence[bytes]) -> None:
        """Hear what is for all views, or for this one, which is called q."""
        if content.get("to", "q") == "q" and content.get("from") != "q":
            self.told.append(({name: value for name, value in content.items() if name != "to"}, list(buffers)))

    def ask(self, kind: str, *, buffers: Sequence[bytes] = (), **facts: Any) -> list[dict[str, Any]]:
        """What is told in answer, and only that."""
        self.n += 1
        before = len(self.told)
        self.view._heard({"kind": kind, "number": f"q-{self.n}", **facts}, [memoryview(b) for b in buffers])
        return [content for content, _ in self.told[before:]]

    def one(self, kind: str, wanted: str, **facts: Any) -> dict[str, Any]:
        """The only answer of a kind."""
        answers = [told for told in self.ask(kind, **facts) if told["kind"] == wanted]
        assert len(answers) == 1, answers
        return answers[0]
