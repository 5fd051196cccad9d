"""The end of a notebook: its result, stored for programs and told to people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.evaluation.render import text as say
from onlineml.pages import markup, table
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.runs.run import Run

__all__ = ["NotebookResult", "save_result"]


@dataclass(frozen=True, repr=False)
class NotebookResult:
    """Result of a notebook, as its last cell shows it.

    Attributes:
        values: as stored in ``result.json``.
        headline: a sentence.
        files: addresses by what is there.
        then: what to do next; "" for nothing.
    """

    values: Mapping[str, Any]
    headline: str
    files: Mapping[str, str]
    then: str = ""

    def scores(self) -> list[tuple[str, str, str]]:
        """Return display name, value and 95 % interval of the scores among the values."""
        found = self.values.get("intervals", {})
        return [(say.label(name), say.decimal(self.values[name]), say.interval(found[name])) for name in found]

    def __str__(self) -> str:
        facts = [(name, f"{value} (95 % interval {interval})") for name, value, interval in self.scores()]
        facts += self.files.items()
        width = 2 + max((len(name) for name, _ in facts), default=0)
        lines = [self.headline, *(f"{name:{width}}{fact}" for name, fact in facts)]
        return "\n".join([*lines, *filter(None, [self.then])])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        files = [markup("{}: <code>{}</code><br>", name, address) for name, address in self.files.items()]
        foot = markup("{}" * (len(files) + 1), *files, markup("<p>{}</p>", self.then) if self.then else "")
        return table(markup("<b>{}</b>", self.headline), ("score", "value", "95 % interval"), self.scores(), foot=foot)


def save_result(
    run: Run, values: Mapping[str, Any], headline: str, *, files: Mapping[str, str] | None = None, then: str = ""
) -> NotebookResult:
    """Store a notebook's result in its run as ``result.json``, and return it in a form for people.

    Args:
        run: finished by this, unless it has its own end, as a training has.
        values: JSON values; a score ``name`` with an interval in ``intervals[name]`` is shown.
        headline: a sentence on what was found.
        files: addresses to show, by what is there; an empty one is left out.
        then: what to do next.
    """
    path = run.path("result.json")
    io.write_bytes(run.location / "result.json", json.dumps(dict(values), indent=1).encode())
    if run.status()["state"] == "created":
        run.set_status("finished")
    shown = {name: address for name, address in (files or {}).items() if address}
    return NotebookResult(values, headline, {**shown, "All of it": path}, then)
