"""HTML in which the text of users is escaped and its control characters are visible.

Templates are in the folder ``templates`` of the package that uses them.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

__all__ = ["markup", "render", "table"]


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a jinja2 template.

    Args:
        template: package and file, such as ``"jobs/jobs.html"``.
        values: by their names in the template; text is escaped, `Markup` is not.

    Raises:
        jinja2.UndefinedError: a value is missing.
    """
    return _environment().get_template(template).render(values)


def markup(line: str, *values: object) -> Markup:
    """Fill the ``{}`` of a line of HTML; text is escaped, `Markup` is not."""
    return Markup(line).format(*map(_visible, values))  # noqa: S704 - the line is a literal of ours


def table(head: object, header: Sequence[str], rows: Sequence[Sequence[object]], *, foot: object = "") -> str:
    """Return a table in the notebook's own style between a head and a foot; without rows, these alone."""
    return render("pages/table.html", {"head": head, "header": header, "rows": rows, "foot": foot})


@cache
def _environment() -> Environment:
    import jinja2  # noqa: PLC0415 - most programs show no page

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["commas"] = "{:,}".format
    return environment


def _source(name: str) -> str:
    package, _, file = name.partition("/")
    return files("onlineml").joinpath(package, "templates", file).read_text(encoding="utf-8")


def _visible(value: object) -> object:
    """Return text with its control characters replaced; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(
        c if c.isprintable() or c in "\n\t\N{NO-BREAK SPACE}" else "\N{REPLACEMENT CHARACTER}" for c in value
    )
