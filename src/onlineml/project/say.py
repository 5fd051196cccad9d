"""Writing what somebody says into a project's annotation log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.registry.promotions import default_author

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.data.annotations.edits import Facts
    from onlineml.data.annotations.state import Annotations
    from onlineml.project.project import Project

__all__ = ["author_or_user", "say"]


def say(
    project: Project,
    facts_of: Callable[[Annotations], Sequence[Facts]],
    author: str | None,
    expected_revisions: Mapping[str, str | None] | None = None,
) -> list[str]:
    """Append what `facts_of` finds to say of the present state; return the ids of the new entries."""
    return project.annotation_log.say(facts_of, author=author_or_user(author), expected_revisions=expected_revisions)


def author_or_user(author: str | None) -> str:
    """Return the author given, or the user of the hub or the machine."""
    return default_author() if author is None else author
