"""Images with drawn boxes: hits, false boxes and missed objects; in figures and, as SVG, in pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from onlineml.arguments.counted import count
from onlineml.evaluation.classification.gallery import pixels_of
from onlineml.evaluation.detection.text import box_words
from onlineml.evaluation.render.style import ALARM, CALM, INK, TAG_TEXT, WARM, new_grid
from onlineml.evaluation.render.text import decimal, shorten
from onlineml.pages import markup, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from onlineml.evaluation.detection.result import DetectionScores
    from onlineml.evaluation.detection.tables import SeenBox, WorstImage

__all__ = ["boxes_svg", "caption", "shot", "worst_figure"]

_N_TAGS = 8  # more tags would cover the image
_N_FALSE = 25  # false boxes drawn on an image, those of highest score: a poor detector finds hundreds
_HALO = "#00000099"  # below each line, for contrast on bright and dark images


def caption(image: WorstImage) -> str:
    """Return a caption like "2 missed, 3 false; 14 objects"; it says how many false boxes are drawn if not all."""
    wrong = [f"{n:,} {word}" for n, word in ((image.n_missed, "missed"), (image.n_false, "false")) if n]
    drawn = f" ({_N_FALSE} drawn)" if len(_drawn(image)) < len(image.boxes) else ""
    return f"{', '.join(wrong)}{drawn}; {count(image.n_objects, 'object')}"


def _drawn(image: WorstImage) -> list[SeenBox]:
    false = [box for box in image.boxes if box.kind not in {"hit", "missed"}][_N_FALSE:]
    left_out = set(map(id, false))
    return [box for box in image.boxes if id(box) not in left_out]


def _canvas(image: WorstImage) -> tuple[float, float]:
    """Return width and height of the drawing; for an image of unknown size, those that its boxes need."""
    if min(image.size_hw) > 0:
        return float(image.size_hw[1]), float(image.size_hw[0])
    return tuple(max((box.box_xyxy[side] for box in image.boxes), default=1.0) * 1.05 for side in (2, 3))  # type: ignore[return-value]


def _tag(box: SeenBox) -> str:
    return (
        shorten(box.label, 14) if box.kind == "missed" else f"{shorten(box.label, 14)} {decimal(box.score, digits=2)}"
    )


def _tagged(image: WorstImage) -> list[SeenBox]:
    """Return the boxes that get a tag: the errors of highest score, or none if not all would fit."""
    return [box for box in image.boxes if box.is_error][:_N_TAGS]


def worst_figure(scores: DetectionScores, *, limit: int = 8) -> Figure:
    """Draw the images with most mistakes: hits green, false boxes red, missed objects orange and dashed."""
    shown = sorted(scores.worst, key=lambda w: w.image_id not in scores.thumbnails)[:limit]
    empty = "no mistakes" if scores.n_images else "no images"
    drawn, cells = new_grid(len(shown), columns=4, cell=(2.5, 2.45), least=3.4, below=0.5, empty=empty)
    for axes, image in zip(cells, shown, strict=True):
        _draw(axes, image, scores.thumbnails.get(image.image_id))
    if shown:
        _explain(drawn)
    return drawn


def _explain(figure: Figure) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - matplotlib takes a fifth of a second to import

    lines = [
        Line2D([], [], color=CALM, linewidth=1.8, label="found"),
        Line2D([], [], color=ALARM, linewidth=1.8, label="false box"),
        Line2D([], [], color=WARM, linewidth=1.8, linestyle="--", label="missed"),
    ]
    figure.legend(handles=lines, loc="outside lower center", frameon=False, fontsize=9, labelcolor=INK, ncols=3)


def _draw(axes: Axes, image: WorstImage, data: bytes | None) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415
    from matplotlib.patheffects import Normal, Stroke  # noqa: PLC0415

    width, height = _canvas(image)
    pixels = None if data is None or min(image.size_hw) < 1 else pixels_of(data)
    if pixels is None:
        axes.add_patch(Rectangle((0, 0), width, height, facecolor=INK, alpha=0.12))
        axes.text(width / 2, height / 2, shorten(image.uri or image.image_id, 24), ha="center", va="center", color=INK,
                  fontsize=7, parse_math=False)  # fmt: skip
    else:
        axes.imshow(pixels, extent=(0, width, height, 0))
    for box in sorted(_drawn(image), key=lambda b: b.is_error):
        x1, y1, x2, y2 = box.box_xyxy
        color, style = _look(box)
        patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=1.4, linestyle=style)
        patch.set_path_effects([Stroke(linewidth=2.6, foreground=_HALO), Normal()])
        axes.add_patch(patch)
    for box in _tagged(image):
        x1, y1, x2, _ = box.box_xyxy
        inward = x1 > 0.6 * width  # a tag that starts here would end outside the image
        axes.text(min(x2, width) if inward else max(x1, 0.0), max(y1, height * 0.06), _tag(box), fontsize=5.5,
                  color=TAG_TEXT, va="bottom", ha="right" if inward else "left", parse_math=False, clip_on=True,
                  bbox={"facecolor": _look(box)[0], "edgecolor": "none", "pad": 0.8})  # fmt: skip
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(caption(image), fontsize=8, color=INK, loc="left", pad=4, parse_math=False)


def _look(box: SeenBox) -> tuple[str, str]:
    if box.kind == "missed":
        return WARM, (0, (4, 2))  # type: ignore[return-value]  # matplotlib takes a pattern of dashes, too
    return (CALM if box.kind == "hit" else ALARM), "-"


def shot(image: WorstImage, source: str) -> Markup:
    """Return `boxes_svg` as a picture of a page's gallery."""
    return markup('<div class="shot">{}</div>', boxes_svg(image, source))


def boxes_svg(image: WorstImage, source: str) -> Markup:
    """Return the image with its boxes as an SVG element; each box has a tooltip.

    Args:
        image: an image of `DetectionScores.worst`.
        source: a data URI of its thumbnail; "" draws the boxes on a plain background.
    """
    width, height = _canvas(image)
    kinds = {"hit": CALM, "false": ALARM, "missed": WARM}
    boxes: dict[str, list[tuple[str, ...]]] = {kind: [] for kind in kinds}
    halos = ""  # of all boxes as one shape: a poor detector draws hundreds
    for box in _drawn(image):
        x1, y1, x2, y2 = box.box_xyxy
        place = tuple(f"{number:.1f}" for number in (x1, y1, x2 - x1, y2 - y1))
        boxes[box.kind if box.kind in kinds else "false"].append((*place, box_words(box)))
        halos += f"M{x1:.1f} {y1:.1f}h{x2 - x1:.1f}v{y2 - y1:.1f}h{x1 - x2:.1f}z"
    values = {
        "label": f"{image.uri or image.image_id}: {caption(image)}",
        "width": f"{width:g}",
        "height": f"{height:g}",
        "source": source if min(image.size_hw) > 0 else "",
        "ink": INK,
        "halos": halos,
        "groups": [(kinds[kind], kind == "missed", found) for kind, found in boxes.items()],
        "tags": [_svg_tag(box, width, height) for box in _tagged(image)],
    }
    return Markup(render("evaluation/boxes.html", values))  # noqa: S704 - the template escapes


def _svg_tag(box: SeenBox, width: float, height: float) -> dict[str, str]:
    """Return the place of a filled tag above the box, or within it at the upper edge; never outside the image."""
    text = _tag(box)
    size = max(width, height) / 26  # about 10 px in a cell of the gallery
    wide, high = 0.56 * size * len(text) + 0.5 * size, 1.3 * size
    x = min(max(box.box_xyxy[0], 0.0), max(width - wide, 0.0))
    y = box.box_xyxy[1] - high if box.box_xyxy[1] >= high else min(max(box.box_xyxy[1], 0.0), height - high)
    places = {"x": x, "y": y, "width": wide, "height": high, "size": size, "text_x": x + 0.25 * size}
    places |= {"text_y": y + 0.98 * size, "text_width": wide - 0.5 * size}
    return {"color": _look(box)[0], "text": text, **{name: f"{number:.1f}" for name, number in places.items()}}
