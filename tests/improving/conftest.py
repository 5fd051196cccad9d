"""What the tests of improving share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from matplotlib.figure import Figure

from tiny import decoded_photos, manifest, photos
from tiny_boxes import trained

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["decoded_photos", "manifest", "photos", "trained"]


@pytest.fixture(autouse=True, scope="module")
def undrawn_reports() -> Iterator[None]:
    """Reports of published versions without their curves, which tests/evaluation draws: more than half of the time."""
    drawn = Figure.savefig

    def savefig(self: Figure, file: Any, **options: Any) -> None:
        if options.get("format") == "svg":
            file.write("<svg></svg>")
        else:
            drawn(self, file, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        yield
