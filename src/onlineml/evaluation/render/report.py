"""Report as one self-contained HTML file, for readers who were not involved in the evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.evaluation.render.html import page
from onlineml.storage.location import Location, Options, Url

if TYPE_CHECKING:
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


def save_page(content: str, url: Url, *, name: str, storage_options: Options = None) -> str:
    """Write a page to a file that ends in ``.html``, or as `name` into a folder; return its path or URL.

    Raises:
        StorageError: writing failed.
    """
    from onlineml.storage import io  # noqa: PLC0415 - scores need no storage until they are saved

    file = Location.of(url, storage_options)
    if not file.url.lower().endswith((".html", ".htm")):
        file /= name
    io.write_bytes(file, content.encode())
    return file.url
