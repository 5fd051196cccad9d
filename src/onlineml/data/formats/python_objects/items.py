"""Images and annotations of datasets that are Python objects: of Hugging Face, of PyTorch and of torchvision.

Neither library is imported: an object is known by its documented attributes.
"""

from __future__ import annotations

import io as buffers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.arguments.counted import count
from onlineml.data.formats.annotated import Shape
from onlineml.data.formats.columns import LABEL_KEYS
from onlineml.data.formats.csv import key
from onlineml.data.formats.objects import BOX_KEYS, CLASS_KEYS, class_name, shapes_of
from onlineml.data.formats.voc.xml import read_annotation
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Item", "Items", "items_of"]


_EXPECTED = (
    "expected a datasets.Dataset of Hugging Face with a column of images, a torchvision ImageFolder, CocoDetection, "
    "VOCDetection or CIFAR10, or a dataset of (image, class number) whose images are PIL images or uint8 arrays; set "
    "transform=None where it has one"
)
_CHANNELS = (1, 3, 4)


class Item(NamedTuple):
    """An image, by its path or as the content of a file, with its labels or its boxes; None: nobody annotated it."""

    image: str | bytes
    labels: list[str] | None = None
    shapes: Sequence[Shape] | None = None


@dataclass(frozen=True)
class Items:
    """N images of a dataset, the kind of their annotation, and the classes in the order of their numbers."""

    n: int
    holds: str
    class_names: tuple[str, ...]
    item: Callable[[int], Item]


def items_of(dataset: Any, label: str | None = None, names: Sequence[str] = ()) -> Items:
    """Return the content of a dataset.

    Args:
        dataset: as `onlineml.Manifest.from_dataset` takes it, but no mapping.
        label: the column of classes, or of objects, of a `datasets.Dataset`.
        names: of the classes, where the dataset has only their numbers.

    Raises:
        ConfigError: it is no dataset of these kinds, or it has several columns that may be meant.
    """
    if hasattr(dataset, "features") and hasattr(dataset, "column_names"):
        if not hasattr(dataset, "__len__"):
            raise ConfigError(f"{type(dataset).__name__} has no rows by number; load it with streaming=False")
        return _of_table(dataset, label, names)
    if label is not None:
        raise ConfigError(f"label={label!r} is the name of a column; {type(dataset).__name__} has none")
    if hasattr(dataset, "indices") and hasattr(dataset, "dataset"):  # torch.utils.data.Subset
        whole, rows = items_of(dataset.dataset, None, names), [int(row) for row in dataset.indices]
        return Items(len(rows), whole.holds, whole.class_names, lambda place: whole.item(rows[place]))
    if hasattr(dataset, "coco") and hasattr(dataset, "ids"):
        return _of_coco(dataset)
    if hasattr(dataset, "images") and hasattr(dataset, "annotations"):
        return _of_voc(dataset)
    samples = getattr(dataset, "samples", getattr(dataset, "imgs", None))
    names = tuple(map(str, getattr(dataset, "classes", None) or names))
    if isinstance(samples, list) and samples:
        return Items(
            len(samples), "label", names, lambda place: Item(str(samples[place][0]), _class(samples[place][1], names))
        )
    if hasattr(dataset, "data") and hasattr(dataset, "targets"):
        data, targets = dataset.data, dataset.targets
        return Items(len(data), "label", names, lambda place: Item(_png(data[place]), _class(targets[place], names)))
    return _of_pairs(dataset, names)


def _class(target: Any, names: Sequence[str]) -> list[str] | None:
    """Return the class of a number; None for -1, which stands for no label, and for None."""
    value = target.item() if hasattr(target, "item") else target
    return None if value is None or value == -1 else [class_name(value, names)]


def _png(image: Any) -> bytes:
    """Encode an image without loss.

    Raises:
        ConfigError: it is no PIL image, and no array of uint8.
    """
    from PIL import Image  # noqa: PLC0415 (decoders are loaded only to decode)

    if not isinstance(image, Image.Image):
        array = image.numpy() if hasattr(image, "numpy") else image
        if str(getattr(array, "dtype", "")) != "uint8" or array.ndim not in {2, 3}:
            raise ConfigError(f"an image of the dataset is a {type(image).__name__}: {_EXPECTED}")
        if array.ndim == 3 and array.shape[0] in _CHANNELS and array.shape[2] not in _CHANNELS:
            array = array.transpose(1, 2, 0)  # channels come first in PyTorch
        if array.ndim == 3 and array.shape[2] == 1:
            array = array[:, :, 0]
        image = Image.fromarray(array)
    buffer = buffers.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# ---- PyTorch and torchvision ----


def _of_pairs(dataset: Any, names: tuple[str, ...]) -> Items:
    try:
        n, first = len(dataset), dataset[0]
    except (TypeError, IndexError, KeyError, NotImplementedError) as error:
        raise ConfigError(f"{type(dataset).__name__}: {_EXPECTED}") from error
    is_pair = isinstance(first, tuple) and len(first) == 2
    if not is_pair or not (first[1] is None or isinstance(first[1], int | str) or hasattr(first[1], "item")):
        raise ConfigError(f"{type(dataset).__name__}: {_EXPECTED}")

    def item(place: int) -> Item:
        image, target = dataset[place]
        return Item(_png(image), _class(target, names))

    return Items(n, "label", names, item)


def _of_coco(dataset: Any) -> Items:
    coco, root = dataset.coco, str(dataset.root)
    categories = {one["id"]: str(one["name"]) for one in coco.loadCats(coco.getCatIds())}

    def item(place: int) -> Item:
        number = dataset.ids[place]
        shapes = []
        for one in coco.loadAnns(coco.getAnnIds(number)):
            x, y, width, height = one["bbox"]
            crowd = {"crowd": bool(one["iscrowd"])} if "iscrowd" in one else {}
            shapes.append(Shape(categories.get(one["category_id"]), (x, y, x + width, y + height), crowd))
        return Item(io.join(root, coco.loadImgs(number)[0]["file_name"]), shapes=shapes)

    return Items(len(dataset.ids), "boxes_xyxy", tuple(categories.values()), item)


def _of_voc(dataset: Any) -> Items:
    def item(place: int) -> Item:
        where = str(dataset.annotations[place])
        try:
            read = read_annotation(io.read_bytes(where), reserved=frozenset())
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        shapes = (
            None
            if read is None
            else [Shape(box.label, (x1, y1, x2, y2)) for box in read.boxes for x1, y1, x2, y2 in [box.box_xyxy]]
        )
        return Item(str(dataset.images[place]), shapes=shapes)

    return Items(len(dataset.images), "boxes_xyxy", (), item)


# ---- Hugging Face ----


def _of_table(dataset: Any, label: str | None, given: Sequence[str]) -> Items:
    features = dataset.features
    images = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    if len(images) != 1:
        raise ConfigError(
            f"the dataset has {count(len(images), 'column')} of images: {', '.join(images) or 'none'}; keep one, with "
            "dataset.select_columns or dataset.cast_column(name, datasets.Image())"
        )
    image = images[0]
    rows = dataset.cast_column(image, type(features[image])(decode=False))
    column = _column(features, label)
    feature = features[column] if column else None
    inner, is_list = _inside(feature)
    if _has_boxes(inner):
        return _of_objects(rows, image, str(column), inner, given)
    names = tuple(map(str, getattr(inner, "names", None) or given))

    def item(place: int) -> Item:
        row = rows[place]
        value = row[column] if column else None
        several = [_class(one, names) for one in value] if is_list and value is not None else None
        labels = _class(value, names) if several is None else [name for one in several for name in one or ()]
        return Item(_content(row[image]), labels)

    return Items(len(rows), "labels" if is_list else "label", names, item)


def _column(features: Mapping[str, Any], label: str | None) -> str | None:
    """Return the column of classes or objects: the one that is given, the only one of its kind, or one by its name."""
    if label is not None:
        if label not in features:
            raise ConfigError(f"label={label!r}: the dataset has the columns {', '.join(features)}")
        return label
    objects = [name for name, one in features.items() if _has_boxes(_inside(one)[0])]
    found = objects or [name for name, one in features.items() if getattr(_inside(one)[0], "names", None)]
    found = found or [name for name in features if key(name) in LABEL_KEYS]
    if len(found) > 1:
        raise ConfigError(f"the dataset has several columns of annotations: {', '.join(found)}; choose one with label=")
    return found[0] if found else None


def _inside(feature: Any) -> tuple[Any, bool]:
    """Return the feature inside a list of features, and whether there is a list."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0], True
    inner = getattr(feature, "feature", None)
    return (feature, False) if inner is None else (inner, True)


def _has_boxes(feature: Any) -> bool:
    return isinstance(feature, Mapping) and any(key in feature for key in BOX_KEYS)


def _of_objects(rows: Any, image: str, column: str, features: Mapping[str, Any], given: Sequence[str]) -> Items:
    classes = [_inside(one)[0] for name, one in features.items() if key(name) in CLASS_KEYS]
    names = tuple(str(name) for one in classes for name in getattr(one, "names", None) or ()) or tuple(given)

    def item(place: int) -> Item:
        row, problems = rows[place], list[str]()
        objects = row[column]
        shapes = None if objects is None else shapes_of(objects, f"row {place}", problems, names=names)
        if problems:
            raise DataError(problems[0])
        return Item(_content(row[image]), shapes=shapes)

    return Items(len(rows), "boxes_xyxy", names, item)


def _content(image: Mapping[str, Any] | None) -> str | bytes:
    """Return the path of an image, or its bytes where it is no file."""
    content = None if image is None else image.get("bytes") or image.get("path")
    if not isinstance(content, str | bytes):
        raise DataError("a row of the dataset has no image; leave it out with dataset.filter")
    return content
