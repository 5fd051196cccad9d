"""Writer of CVAT for images 1.1."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from onlineml.data.formats.annotated import annotated_images
from onlineml.data.formats.json_lines import addresses_in, require_known_boxes
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from onlineml.data.formats.annotated import AnnotatedImage, Shape
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["write_cvat"]

_SUBSETS = {"train": "Train", "val": "Validation", "test": "Test"}  # CVAT's names


def write_cvat(manifest: Manifest, at: Location) -> str:
    """Write one file, with the splits as subsets; `read_cvat` reads boxes, labels, splits and columns of texts back.

    Images are not copied; those that nobody annotated are left out, and groups are not written.

    Raises:
        DataError: a box has no class or is not finite; a column cannot be written.
        StorageError: an image whose size is needed cannot be read.
    """
    where = at if at.url.lower().endswith(".xml") else at / "annotations.xml"
    images = annotated_images(manifest, sizes=True)
    require_known_boxes(images, manifest.class_names)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    project = SubElement(SubElement(root, "meta"), "project")
    tasks = SubElement(project, "tasks")
    for split in dict.fromkeys(image.split for image in images if image.split is not None):
        SubElement(SubElement(tasks, "task"), "subset").text = _SUBSETS[split]  # other readers look for them here
    labels = SubElement(project, "labels")
    for name in manifest.class_names:
        label = SubElement(labels, "label")
        SubElement(label, "name").text = name
        SubElement(label, "type").text = "rectangle" if manifest.kind.key == "boxes_xyxy" else "tag"
    names = addresses_in(manifest, at, (".xml",))
    if all(name.startswith("images/") for name in names):  # names are relative to the folder that CVAT exports them to
        names = [name.removeprefix("images/") for name in names]
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        if image.shapes is not None or image.labels is not None:
            _add_image(root, image, name, number)
    indent(root)
    io.write_bytes(where, tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")
    return where.url


def _add_image(root: Element, image: AnnotatedImage, name: str, number: int) -> None:
    element = SubElement(root, "image", {"id": str(number), "name": name})
    if image.split is not None:
        element.set("subset", _SUBSETS[image.split])
    if image.size_hw is not None:
        element.attrib |= {"width": str(image.size_hw[1]), "height": str(image.size_hw[0])}
    for shape in image.shapes or ():
        _add_box(element, shape)
    for label in image.labels or ():
        SubElement(element, "tag", {"label": label, "source": "manual"})


def _add_box(image: Element, shape: Shape) -> None:
    attributes = dict(shape.attributes)
    occluded = attributes.pop("occluded", False) is True
    corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(repr, shape.box_xyxy), strict=True))
    given = {"label": shape.label or "", "source": "manual", "occluded": str(int(occluded)), **corners, "z_order": "0"}
    element = SubElement(image, "box", given)
    for name, value in attributes.items():
        if not isinstance(value, bool | int | float | str):
            raise DataError(f"the column {name!r} contains {value!r}, which XML cannot hold; remove it")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        SubElement(element, "attribute", {"name": name}).text = text
