"""A person at the box editor: where on the screen a pixel of the image lies is told by the picture itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab_page import LabPage

__all__ = ["Stage", "marked_image"]

MARK = (255, 0, 255)


def marked_image(
    path: Path, size_wh: tuple[int, int], mark_xyxy: tuple[int, int, int, int], *, orientation: int = 1
) -> None:
    """An image with a magenta rectangle at these pixels of the *upright* picture, stored turned as a camera does."""
    image = Image.new("RGB", size_wh, (70, 90, 70))
    x1, y1, x2, y2 = mark_xyxy
    ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), fill=MARK)
    if orientation == 6:  # shown turned by 90 degrees clockwise, so stored turned the other way
        image = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif, **({"quality": 95} if path.suffix == ".jpg" else {}))


class Stage:
    """One box editor in a page."""

    def __init__(self, page: LabPage, size_wh: tuple[int, int]) -> None:
        self.lab_page, self.page = page, page.page
        self.size_wh = size_wh
        self.root = page.find(".oml-editor")

    def picture(self) -> dict[str, float]:
        """Where the whole picture lies on the screen, scrolled to where a mouse reaches it."""
        self.root.locator(".oml-canvas").scroll_into_view_if_needed()
        box = self.root.locator(".oml-stage image").first.bounding_box()
        assert box is not None
        return dict(box)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel's corner is on the screen."""
        box, (width, height) = self.picture(), self.size_wh
        return box["x"] + x * box["width"] / width, box["y"] + y * box["height"] / height

    @property
    def tolerance(self) -> float:
        """Half a pixel of the screen, in pixels of the image, and the half pixel of rounding."""
        return 0.5 * self.size_wh[0] / self.picture()["width"] + 0.5

    def drag(self, start: Sequence[float], end: Sequence[float]) -> None:
        self.page.mouse.move(*self.at(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.at((start[0] + end[0]) / 2, (start[1] + end[1]) / 2))
        self.page.mouse.move(*self.at(*end))
        self.page.mouse.up()

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def wait_for(self, image_id: str) -> None:
        """Wait until an image is shown."""
        self.page.wait_for_selector(f'.oml-editor[data-image="{image_id}"] [aria-busy="false"]')

    def colour(self, x: float, y: float) -> tuple[int, int, int]:
        """What is seen at a pixel of the image."""
        at_x, at_y = self.at(x, y)
        shot = self.page.screenshot(clip={"x": round(at_x) - 1, "y": round(at_y) - 1, "width": 3, "height": 3})
        import io

        pixels: Any = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))
        red, green, blue = pixels.reshape(-1, 3).mean(0).round().astype(int).tolist()
        return red, green, blue

    def saved(self, n: int) -> None:
        """Wait until so many images have been answered here."""
        self.page.wait_for_function(
            "(n) => document.querySelector('.oml-editor')?.dataset.answered === String(n)", arg=n
        )
