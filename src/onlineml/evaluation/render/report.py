"""Report as one self-contained HTML file, for readers who were not involved in the evaluation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from onlineml.evaluation.render.html import page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.evaluation.base import BaseScores

__all__ = ["report_html", "save_page"]


def report_html(scores: BaseScores, *, title: str = "Evaluation") -> str:
    """Render the report as one HTML page, which loads nothing and runs no script.

    Args:
        scores: the scores to report.
        title: title of the page; any text.

    Returns:
        HTML that follows the reader's light or dark setting, under 2 MB for 1,000 classes and 50,000 images.
    """
    return page(title, *scores.report_parts())


def save_page(
    content: str, url: str | os.PathLike[str], *, name: str, storage_options: Mapping[str, Any] | None = None
) -> str:
    """Write a page to a file that ends in ``.html``, or as `name` into a folder; return its path or URL.

    Raises:
        StorageError: writing failed.
    """
    from onlineml.storage import io  # noqa: PLC0415 - scores need no storage until they are saved

    target = os.fspath(url)
    if not target.lower().endswith((".html", ".htm")):
        target = io.join(target, name)
    io.write_bytes(target, content.encode(), storage_options=storage_options)
    return target
