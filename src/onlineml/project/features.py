"""Features of a project's images, kept in the project, and the images that look like a given one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onlineml.arguments.checks import whole
from onlineml.arguments.counted import part_of
from onlineml.errors import DataError
from onlineml.project.part import ProjectPart
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.project.project import Project
    from onlineml.tasks.base import VisionModule

__all__ = ["ImageFeatures", "ProjectFeatures", "Similar", "SimilarImages"]


class ImageFeatures(NamedTuple):
    """Features of images.

    Attributes:
        image_ids: of the n images.
        values: (n, F) float32.
    """

    image_ids: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Similar:
    """An image, or a box in it, that looks like what was asked for.

    Attributes:
        image_id: of the project.
        similarity: cosine of the features, at most 1, which a copy has.
        label: of the image or box; several are joined by a comma; "" for none.
        box_xyxy: in pixels of the upright image; None for the whole image.
    """

    image_id: str
    similarity: float
    label: str = ""
    box_xyxy: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class SimilarImages:
    """Images or boxes, the most similar first.

    Attributes:
        items: what was found.
        data: its images, in the same order.
    """

    items: tuple[Similar, ...]
    data: Manifest

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Similar:
        return self.items[place]

    def __str__(self) -> str:
        boxes = any(item.box_xyxy for item in self.items)
        head = f"{len(self):,} {'boxes' if boxes else 'images'}, the most similar first"
        lines = [f"  {item.similarity:.3f} {item.image_id} {item.label}".rstrip() for item in self.items[:10]]
        return "\n".join([head, *lines])

    def to_frame(self) -> pd.DataFrame:
        """One row per item: ``image_id``, ``uri``, ``similarity``, ``label`` and ``box_xyxy``."""
        import pandas as pd  # noqa: PLC0415

        names = ["image_id", "uri", "similarity", "label", "box_xyxy"]
        rows = [
            (item.image_id, url, item.similarity, item.label, item.box_xyxy)
            for item, url in zip(self.items, self.data.urls(), strict=True)
        ]
        return pd.DataFrame(rows, columns=names)

    def _repr_html_(self) -> str:
        from onlineml.evaluation.render.cut_outs import cut_outs, file_name  # noqa: PLC0415
        from onlineml.pages import table  # noqa: PLC0415

        pictures = cut_outs(self.data, [item.box_xyxy for item in self.items])
        rows = [
            (picture, file_name(url), item.label, f"{item.similarity:.3f}")
            for picture, item, url in zip(pictures, self.items, self.data.urls(), strict=True)
        ]
        return table(str(self).splitlines()[0], ("", "image", "label", "similarity"), rows)


class ProjectFeatures(ProjectPart):
    """Features of a project's images, ``project.features``: numbers that are alike where images look alike.

    They are those of a published network (``weights="auto"``), which sees each image once: they are kept in the
    project's folder ``features/`` by the network and the image's content, so that only new images are computed, and
    another network gets features of its own.
    """

    def of(
        self,
        image_ids: Sequence[str] | None = None,
        *,
        model: VisionModule | None = None,
        num_workers: int = 0,
    ) -> ImageFeatures:
        """Return the features of images; those that cannot be used are left out.

        Args:
            image_ids: of the project; None for all.
            model: whose last layer's input is meant, of the project's task; None for a published network.
            num_workers: processes that decode; 0 is a thread.

        Raises:
            DataError: an image is not in the project, or was set aside.
            ConfigError: the model is of another task, or its network has no linear last layer.
        """
        data = self._project.freeze()
        rows = np.arange(len(data)) if image_ids is None else _rows(data, list(image_ids))
        return _features(self._project, data, rows, model=model, num_workers=whole("num_workers", num_workers))

    def similar(
        self,
        image: str | os.PathLike[str] | bytes | NDArray[np.uint8],
        n: int = 10,
        *,
        box_xyxy: ArrayLike | None = None,
        model: VisionModule | None = None,
    ) -> SimilarImages:
        """Find the images of the project that look most like one, or like what a box in it shows.

        In a project with boxes, a box is compared with all boxes that people or imports gave, without itself.

        Args:
            image: id of an image of the project, which is not found itself; or the path, URL or bytes of any image
                file, or (H, W, 3) uint8 RGB.
            n: at most so many.
            box_xyxy: x1, y1, x2, y2 in pixels of the upright image; None for all of it.
            model: as in `of`.

        Raises:
            NotFoundError: the image is neither an id nor a file.
            BadImageError: the image cannot be read.
            DataError: the image was set aside, or the box covers nothing of it.
        """
        from onlineml.training.embedding import embedder  # noqa: PLC0415 (torch)

        n, project = whole("n", n, least=1), self._project
        data, model = project.freeze(), embedder() if model is None else model
        own = image if isinstance(image, str) and image in set(data.column("image_id").tolist()) else None
        box = None if box_xyxy is None else np.asarray(box_xyxy, np.float64).reshape(4)
        if own is not None and box is None:
            _, asked = _features(project, data, _rows(data, [own]), model=model)
        else:
            asked = _seen(data, image, own, box, model)
        if not len(asked):
            raise DataError(f"{own}: the image cannot be read: see project.datasets.findings(project.freeze())")
        if box is not None and "boxes_xyxy" in data.table.column_names:
            return _nearest_boxes(project, data, asked[0], n=n, own=own, box=box, model=model)
        return _nearest(project, data, asked[0], n=n, own=own, model=model)


def _rows(data: Manifest, image_ids: Sequence[str]) -> NDArray[np.int64]:
    place = {str(image_id): row for row, image_id in enumerate(data.column("image_id"))}
    unknown = [image_id for image_id in image_ids if image_id not in place]
    if unknown:
        raise DataError(
            f"{part_of(len(unknown), len(image_ids), 'image is')} not in the project or were set aside, such as "
            f"{unknown[0]!r}: see project.datasets.findings(project.freeze())"
        )
    return np.array([place[image_id] for image_id in image_ids], np.int64)


def _features(
    project: Project, data: Manifest, rows: NDArray[np.int64], *, model: VisionModule | None, num_workers: int = 0
) -> ImageFeatures:
    from onlineml.training.embedding import embedder, unannotated  # noqa: PLC0415 (torch)
    from onlineml.training.features import features_of, project_store  # noqa: PLC0415

    used = embedder() if model is None else model
    images = data if used.task == data.task else unannotated(data)
    store = project_store(project.location, used)
    found = features_of(used, images, rows, store=store, num_workers=num_workers, max_bad=1.0)
    return ImageFeatures(tuple(str(image_id) for image_id in data.column("image_id")[found.rows]), found.values)


def _seen(
    data: Manifest, image: Any, own: str | None, box: NDArray[np.float64] | None, model: VisionModule
) -> NDArray[np.float32]:
    """(1, F) features of an image, or of a box in it."""
    from onlineml.data.images.decode import decode  # noqa: PLC0415 (decoders are loaded only to decode)
    from onlineml.training.embedding import inside, pixels_features  # noqa: PLC0415 (torch)

    if isinstance(image, np.ndarray):
        pixels = image
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise DataError(f"image has shape {pixels.shape} and dtype {pixels.dtype}; expected (H, W, 3) uint8 RGB")
    elif own is not None:
        url = data.urls()[int(_rows(data, [own])[0])]
        pixels = decode(io.read_bytes(Location(url, data.storage_options))).pixels
    else:
        pixels = decode(image if isinstance(image, bytes) else io.read_bytes(Location.of(image))).pixels
    shown = pixels if box is None else inside(pixels, box)
    if not shown.size:
        raise DataError(f"box_xyxy={box}: covers nothing of the image of {pixels.shape[1]} x {pixels.shape[0]} pixels")
    return pixels_features(model, [shown])


def _nearest(
    project: Project, data: Manifest, asked: NDArray[np.float32], *, n: int, own: str | None, model: VisionModule
) -> SimilarImages:
    found = _features(project, data, np.arange(len(data)), model=model)
    likeness = _cosines(found.values, asked)
    ids = np.array(found.image_ids, dtype=object)
    order = [int(i) for i in np.argsort(-likeness, kind="stable") if ids[i] != own][:n]
    shown = data.take(_rows(data, [found.image_ids[i] for i in order]))
    items = [
        Similar(str(ids[i]), float(likeness[i]), label)
        for i, label in zip(order, _labels(shown), strict=True)
    ]  # fmt: skip
    return SimilarImages(tuple(items), shown)


def _nearest_boxes(
    project: Project,
    data: Manifest,
    asked: NDArray[np.float32],
    *,
    n: int,
    own: str | None,
    box: NDArray[np.float64],
    model: VisionModule,
) -> SimilarImages:
    from onlineml.training.embedding import box_features  # noqa: PLC0415 (torch)
    from onlineml.training.features import project_store  # noqa: PLC0415

    boxes = data.boxes()
    rows = boxes.image_index
    usable, values = box_features(model, data, rows, boxes.boxes_xyxy, store=project_store(project.location, model))
    if own is not None:
        usable &= ~((rows == _rows(data, [own])[0]) & (boxes.boxes_xyxy == box).all(axis=1))
    likeness = np.where(usable, _cosines(values, asked), -2.0)
    order = [int(i) for i in np.argsort(-likeness, kind="stable") if usable[i]][:n]
    ids = data.column("image_id")
    items = []
    for i in order:
        x1, y1, x2, y2 = boxes.boxes_xyxy[i].tolist()
        label = data.class_names[boxes.label_ids[i]] if boxes.label_ids[i] >= 0 else ""
        items.append(Similar(str(ids[rows[i]]), float(likeness[i]), label, (x1, y1, x2, y2)))
    return SimilarImages(tuple(items), data.take(rows[order]))


def _cosines(values: NDArray[np.float32], asked: NDArray[np.float32]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(values, axis=1) * np.linalg.norm(asked)
    cosines: NDArray[np.float64] = np.divide(values @ asked, lengths, out=np.zeros(len(values)), where=lengths > 0)
    return cosines


def _labels(data: Manifest) -> list[str]:
    """The names of the classes of each image, each once, joined."""
    names = data.column(data.kind.names)
    return [one if isinstance(one, str) else ", ".join(dict.fromkeys(one)) if one is not None else "" for one in names]
