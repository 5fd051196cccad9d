"""Augmented manifests of Amazon SageMaker Ground Truth and Rekognition Custom Labels: a JSON object for each image.

``{"source-ref": "s3://…", "<job>": …, "<job>-metadata": {"class-map": …, "type": "groundtruth/…"}}``. A box has
``left``, ``top``, ``width`` and ``height`` in pixels of the image, counted from 0: left 399, top 251, width 155 and
height 101 are the corners 399, 251, 554, 352
(https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html, "Bounding box job output").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.data.formats.addresses import placed
from onlineml.data.formats.annotated import AnnotatedImage, Shape, annotated_images, annotated_parts
from onlineml.data.formats.format import Format
from onlineml.data.formats.json_lines import (
    addresses_in,
    detect_files,
    first_objects,
    json_lines,
    number,
    plain,
    read_as,
    read_files,
    require_known_boxes,
    size_hw,
    write_lines,
)
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Source
    from onlineml.data.formats.json_lines import Line
    from onlineml.data.formats.parts import Parts
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["GROUND_TRUTH", "Job", "parse_ground_truth", "read_ground_truth", "write_ground_truth"]

_ENDINGS = (".manifest", ".jsonl")
_ATTRIBUTE = "annotation"  # that is written
_METADATA = "-metadata"
_TYPES = {
    "object-detection": "boxes_xyxy",
    "image-classification": "label",
    "image-classification-multilabel": "labels",
    "label-verification": "",  # an opinion on another job's labels
}
_FROM = {"boxes_xyxy": ("boxes_xyxy",), "label": ("label",), "labels": ("labels", "label", "boxes_xyxy")}


class Job(NamedTuple):
    """The annotation of an image by one labelling job.

    Attributes:
        name: of the label attribute.
        kind: as `onlineml.data.formats.format.Format.holds` calls it; another text for what cannot be read.
        value: the annotation.
        metadata: what the file says about it.
    """

    name: str
    kind: str
    value: Any
    metadata: Mapping[str, Any]


def jobs_of(row: Mapping[str, Any]) -> list[Job]:
    """Return the annotations of a line, those by verification jobs left out.

    A line of nothing but an address and plain values, ``{"source-ref": …, "class": "0"}``, is what SageMaker's image
    classification trains on (https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html).
    """
    keys = [name for name in row if name != "source-ref" and not name.endswith(_METADATA)]
    found = []
    for name in keys:
        value, metadata = row[name], row.get(f"{name}{_METADATA}")
        if isinstance(metadata, dict):
            said = str(metadata.get("type", "")).rpartition("/")[2]
            found.append(Job(name, _TYPES.get(said, _kind_of(value, metadata) or said), value, metadata))
        elif _is_boxes(value):
            found.append(Job(name, "boxes_xyxy", value, {}))
    if not found:
        found = [Job(name, _kind_of(row[name], {"class-map": {}}) or "unknown", row[name], {}) for name in keys]
    return [job for job in found if job.kind]


def _is_boxes(value: Any) -> bool:
    return isinstance(value, dict) and "annotations" in value


def _kind_of(value: Any, metadata: Mapping[str, Any]) -> str:
    """Return the kind of an annotation whose type is not one of the known ones."""
    if _is_boxes(value):
        return "boxes_xyxy"
    if isinstance(value, list) and all(type(one) is int for one in value):
        return "labels"
    return "label" if type(value) in {int, str} and ("class-name" in metadata or "class-map" in metadata) else ""


def parse_ground_truth(
    lines: Sequence[Line], *, holds: str, attribute: str | None = None
) -> tuple[list[AnnotatedImage], tuple[str, ...]]:
    """Return the images, and the class names in the order of their numbers.

    Args:
        lines: of the files.
        holds: the wanted kind of annotation.
        attribute: the label attribute to read, where a line has several.

    Raises:
        DataError: lines that are not of this format, or several label attributes; all problems are named.
    """
    problems = list[str]()
    inline = [line.where for line in lines if not isinstance(line.content.get("source-ref"), str)]
    if inline:
        problems.append(f"no address of an image in 'source-ref' ('source' is data, not an image): {examples(inline)}")
    found = [jobs_of(line.content) for line in lines]
    kind = _kind(found, holds, attribute)
    numbers = dict[str, int]()
    images = []
    for line, jobs in zip(lines, found, strict=True):
        own = [job for job in jobs if job.kind == kind and attribute in {None, job.name}]
        if len(own) > 1 and not (holds == "labels" and kind == "label"):
            names = ", ".join(repr(job.name) for job in own)
            raise DataError(f"{line.where} has the label attributes {names}; choose one with label=")
        images.append(_image(line, own, numbers, problems))
    if problems:
        raise DataError("\n".join(f"  - {problem}" for problem in problems))
    return images, tuple(sorted(numbers, key=lambda name: numbers[name]))


def _kind(found: Sequence[Sequence[Job]], holds: str, attribute: str | None) -> str:
    """Return the kind of the annotations to read; ``""`` for a file of nothing but images.

    Raises:
        DataError: there are annotations, but no such ones.
    """
    kinds = {job.kind: job.name for jobs in found for job in jobs if attribute in {None, job.name}}
    kind = next((one for one in _FROM[holds] if one in kinds), "")
    if kind or not (kinds or attribute):
        return kind
    names = {job.name: job.kind for jobs in found for job in jobs}
    raise DataError(
        f"expected a label attribute {f'{attribute!r} ' if attribute else ''}of type "
        f"{' or '.join(name for name, one in _TYPES.items() if one in _FROM[holds])}; "
        f"found {', '.join(f'{name!r} ({kind})' for name, kind in names.items())}"
    )


def _unread(found: Sequence[Sequence[Job]], holds: str, attribute: str | None) -> list[str]:
    """Return a note on the label attributes that are not read."""
    kind = _kind(found, holds, attribute)
    others = {job.name for jobs in found for job in jobs if job.kind != kind or attribute not in {None, job.name}}
    return [f"the label attributes {examples(sorted(others))} were not read; choose with label="] if others else []


def _image(line: Line, jobs: Sequence[Job], numbers: dict[str, int], problems: list[str]) -> AnnotatedImage:
    name = str(line.content.get("source-ref"))
    done = [job for job in jobs if "failure-reason" not in job.metadata]
    if not done:
        return AnnotatedImage(name, None)
    if done[0].kind == "boxes_xyxy":
        return _boxed(line, name, done[0], numbers, problems)
    labels = [label for job in done for label in _classes(job, line, numbers, problems)]
    return AnnotatedImage(name, None, labels=labels)


def _classes(job: Job, line: Line, numbers: dict[str, int], problems: list[str]) -> list[str]:
    values = job.value if isinstance(job.value, list) else [job.value]
    given = job.metadata.get("class-name")
    if isinstance(given, str) and len(values) == 1:
        _count(given, values[0], numbers)
        return [given]
    return [_class_name(value, job, line, numbers, problems) for value in values]


def _class_name(value: Any, job: Job, line: Line, numbers: dict[str, int], problems: list[str]) -> str:
    """Return the name of a class by its number; the number itself where the file gives no name."""
    names = job.metadata.get("class-map")
    name = names.get(str(value)) if isinstance(names, dict) else None
    if type(value) not in {int, str}:
        problems.append(f"{line.where}: {job.name}: the class {value!r} is not a number of the class-map")
        return ""
    name = str(value) if name is None else str(name)
    _count(name, value, numbers)
    return name


def _count(name: str, value: Any, numbers: dict[str, int]) -> None:
    place = int(value) if str(value).isdecimal() else len(numbers)
    numbers[name] = min(place, numbers.get(name, place))


def _boxed(line: Line, name: str, job: Job, numbers: dict[str, int], problems: list[str]) -> AnnotatedImage:
    value = job.value if isinstance(job.value, dict) else {}
    boxes, sizes = value.get("annotations"), value.get("image_size")
    facts = job.metadata.get("objects")
    if not isinstance(boxes, list) or not all(isinstance(box, dict) for box in boxes):
        problems.append(f"{line.where}: {job.name}: 'annotations' is not a list of boxes")
        return AnnotatedImage(name, None)
    told = facts if isinstance(facts, list) and len(facts) == len(boxes) else [{}] * len(boxes)
    shapes = []
    for box, fact in zip(boxes, told, strict=True):
        sides = [number(box.get(side)) for side in ("left", "top", "width", "height")]
        left, top, width, height = (side if side is not None else 0.0 for side in sides)
        if None in sides:
            problems.append(f"{line.where}: {job.name}: expected left, top, width and height as numbers, found {box}")
        label = _class_name(box.get("class_id"), job, line, numbers, problems)
        confidence = number(fact.get("confidence")) if isinstance(fact, dict) else None
        attributes = {} if confidence is None else {"confidence": confidence}
        shapes.append(Shape(label, (left, top, left + width, top + height), attributes))
    size = sizes[0] if isinstance(sizes, list) and sizes and isinstance(sizes[0], dict) else {}
    return AnnotatedImage(name, shapes, size_hw=size_hw(size.get("height"), size.get("width")))


# ---- reading ----


def _kind_of_head(head: bytes) -> str | None:
    rows = first_objects(head)
    if not any("source-ref" in row or ("source" in row and jobs_of(row)) for row in rows):
        return None
    return next((job.kind for row in rows for job in jobs_of(row) if job.kind in _FROM), "")


def read_ground_truth(source: Source, *, holds: str) -> Parts:
    """Read augmented manifests; `Source.label` is the label attribute to read."""
    files = read_files(source, _ENDINGS, lambda head: _kind_of_head(head) is not None)
    lines = [(line, file.split) for file in files for line in json_lines(file.data, file.path)]
    try:
        images, names = parse_ground_truth([line for line, _ in lines], holds=holds, attribute=source.label)
    except DataError as error:
        raise DataError(f"{source.where} cannot be imported: {error}") from error
    found = placed([image._replace(split=split) for image, (_, split) in zip(images, lines, strict=True)], source)
    unread = _unread([jobs_of(line.content) for line, _ in lines], holds, source.label)
    notes = (read_as("SageMaker Ground Truth", files), *unread, *found.notes)
    return annotated_parts(found.images, found.source, holds=holds, folder=found.folder, class_names=names, notes=notes)


# ---- writing ----


def write_ground_truth(manifest: Manifest, at: Location) -> str:
    """Write an augmented manifest, or into a folder one for each split: ``train.manifest``, … Images are not copied.

    Groups and further columns are not written; paths of images below the folder are relative to it.
    """
    images = annotated_images(manifest, sizes=True)
    require_known_boxes(images, manifest.class_names)
    places = {name: place for place, name in enumerate(manifest.class_names)}
    addresses = addresses_in(manifest, at, _ENDINGS)
    rows = [
        {"source-ref": address, **_written(image, manifest.kind.key, places)}
        for image, address in zip(images, addresses, strict=True)
    ]
    return write_lines(manifest, rows, at, _ENDINGS)


def _written(image: AnnotatedImage, holds: str, places: Mapping[str, int]) -> dict[str, Any]:
    """Return the keys that hold the annotation of an image: none where nobody annotated it."""
    facts: dict[str, Any] = {"human-annotated": "yes"}
    if image.shapes is not None:
        names = {shape.label for shape in image.shapes if shape.label is not None}
        facts["objects"] = [{"confidence": shape.attributes.get("confidence", 1)} for shape in image.shapes]
        height, width = image.size_hw or (0, 0)
        value: Any = {
            "annotations": [_written_box(shape, places) for shape in image.shapes],
            "image_size": [{"width": width, "height": height, "depth": 3}],
        }
    elif image.labels is None:
        return {}
    else:
        names = set(image.labels)
        value = [places[name] for name in image.labels]
        if holds == "label":
            value, facts["class-name"] = value[0], image.labels[0]
    facts["class-map"] = {str(places[name]): name for name in sorted(names)}
    kind = next(name for name, one in _TYPES.items() if one == holds)
    return {_ATTRIBUTE: value, f"{_ATTRIBUTE}{_METADATA}": {**facts, "type": f"groundtruth/{kind}"}}


def _written_box(shape: Shape, places: Mapping[str, int]) -> dict[str, Any]:
    x1, y1, x2, y2 = shape.box_xyxy
    sides = {"left": x1, "top": y1, "width": x2 - x1, "height": y2 - y1}
    return {"class_id": places[str(shape.label)], **{name: plain(side) for name, side in sides.items()}}


GROUND_TRUTH = Format(
    "sagemaker",
    holds=("boxes_xyxy", "label", "labels"),
    expected="a .manifest or .jsonl file, or a folder with some, whose lines have 'source-ref'",
    detect=lambda place: detect_files(place, _ENDINGS, _kind_of_head),
    read=read_ground_truth,
    write=write_ground_truth,
    takes=("images", "label"),
)
