"""Writer of Pascal VOC folders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onlineml.data.formats.boxes import further_columns, known_sizes_hw, per_box_values
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.voc.xml import VocBox, VocImage, annotation_bytes
from onlineml.data.images.sizes import upright_size_hw
from onlineml.data.manifest.boxes import OPTIONAL_BOX_COLUMNS
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["write_voc"]

_IMAGES = "JPEGImages/"


def write_voc(manifest: Manifest, at: Location) -> str:
    """Write Pascal VOC folders, see `Manifest.to_voc`."""
    images = _images(manifest)
    names = _names(manifest)
    target = empty_folder(at)
    for rows, contents in image_chunks(manifest):
        files = {}
        for name, image, content in zip(names[rows], images[rows], contents, strict=True):
            files[f"{_IMAGES}{name}"] = content
            if image is not None:
                sized = image if image.size_hw else replace(image, size_hw=upright_size_hw(content))
                files[f"Annotations/{_stem(name)}.xml"] = annotation_bytes(sized, filename=name)
        write_many(target, files)
    splits = manifest.table["split"].to_pylist()
    lists = {
        f"ImageSets/Main/{wanted}.txt": "".join(
            f"{_stem(name)}\n" for name, split in zip(names, splits, strict=True) if split == wanted
        ).encode()
        for wanted in SPLITS
    }
    write_many(target, lists)
    return target.url


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _names(manifest: Manifest) -> list[str]:
    """Return the images' paths below JPEGImages: their existing ones there, or else their names."""
    uris = manifest.table["uri"].to_pylist()
    below = [uri.removeprefix(_IMAGES) for uri in uris if uri.startswith(_IMAGES)]
    if len(below) == len(uris) and len({_stem(name).casefold() for name in below}) == len(uris):
        return below
    return unique_paths(manifest, [""] * len(uris), by_stem=True)


def _images(manifest: Manifest) -> list[VocImage | None]:
    """Return the content of each image's annotation file; None for images without annotations."""
    table, boxes = manifest.table, manifest.boxes()
    image_columns, box_columns = further_columns(table)
    image_columns = [name for name in image_columns if name != "voc_annotation"]
    box_columns = [name for name in box_columns if name != "voc_object"]
    box_columns += [name for name in OPTIONAL_BOX_COLUMNS if name in table.column_names]
    values = {name: per_box_values(table, name) for name in (*box_columns, "labels")}
    rests = per_box_values(table, "voc_object") if "voc_object" in table.column_names else [None] * len(boxes)
    objects = [
        VocBox(values["labels"][row], boxes.boxes_xyxy[row].tolist(), _leaves(values, box_columns, row), rests[row])
        for row in range(len(boxes))
    ]
    columns = {name: table[name].to_pylist() for name in (*image_columns, "image_id", "group")}
    texts = table["voc_annotation"].to_pylist() if "voc_annotation" in table.column_names else [None] * len(table)
    images: list[VocImage | None] = []
    for row, size in enumerate(known_sizes_hw(manifest).tolist()):
        leaves = _leaves(columns, image_columns, row)
        if columns["group"][row] != columns["image_id"][row]:
            leaves["group"] = columns["group"][row]
        image = VocImage((size[0], size[1]) if min(size) else None, objects[boxes.of(row)], leaves, texts[row])
        images.append(image if boxes.annotated[row] else None)
    return images


def _leaves(columns: Mapping[str, list[Any]], names: list[str], row: int) -> dict[str, str]:
    found = {name: columns[name][row] for name in names if columns[name][row] is not None}
    wrong = [name for name, value in found.items() if not isinstance(value, bool | int | float | str)]
    if wrong:
        raise DataError(
            f"the columns {examples(wrong)} contain values other than numbers and texts; remove them for XML"
        )
    return {
        name: str(value).lower() if isinstance(value, bool) else value if isinstance(value, str) else repr(value)
        for name, value in found.items()
    }
