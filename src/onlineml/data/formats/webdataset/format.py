"""WebDataset: shards (tar archives) in which the files of a sample have one name with several extensions.

``0001.jpg`` with ``0001.cls`` (a class, or its number), ``0001.json`` or ``0001.txt``
(https://webdataset.github.io/webdataset/). Images stay where they are: a shard is a run of byte ranges, as that of
`onlineml.Manifest.pack` is. The name of a sample ends at the first dot of a file's name, as everywhere in this format.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import require_no_problems
from onlineml.data.formats.folders.layout import layout_of
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.objects import class_name, numbers_note, used_names
from onlineml.data.formats.parts import Parts, image_id, naturally_sorted
from onlineml.data.formats.webdataset.samples import Sample, boxes_of, has_label, labels_of, samples_of
from onlineml.data.formats.webdataset.tar_index import TarIndex, tar_index
from onlineml.data.formats.webdataset.write import write_webdataset
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.boxes import box_list, lists_of
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import split_in_name, stable_split
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.shards import packed_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Place
    from onlineml.data.formats.webdataset.tar_index import Member
    from onlineml.storage.io import FileInfo
    from onlineml.storage.location import Location

__all__ = ["WEBDATASET", "read_webdataset", "write_webdataset"]

_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NAMES = ("classes.txt", "classnames.txt", "class_names.txt", "labels.txt")
_RANGE = re.compile(r"\{(\d{1,6})\.\.(\d{1,6})\}")
_NOT_IN_NAMES = re.compile(r"[#*?\[\]\\]")  # which would make of a URL something else
_TOGETHER = 16  # shards
_BLOCK = 128_000  # bytes of a request, which takes about as long as reading these: see storage.shards


# ---- reading ----


def _detect(place: Place) -> Source | None:
    if place.url.lower().endswith(_ENDINGS):
        return place.source()
    if place.images or not any(path.lower().endswith(_ENDINGS) for path in place.others):
        return None
    return Source(place.url, None, place.url, options=place.options, files=place.listing)


def read_webdataset(source: Source, *, holds: str) -> Parts:
    """Read the headers of shards, and their files of labels; images stay in the shards."""
    single = source.where.lower().endswith(_ENDINGS)
    folder = source.at.parent if single else source.at
    listing = source.listing()
    files = {info.path: info for info in listing.files}
    paths = _expanded(io.name(source.where)) if single else [path for path in files if path.lower().endswith(_ENDINGS)]
    with ThreadPoolExecutor(_TOGETHER) as pool:
        indices = dict(zip(paths, pool.map(lambda path: _index(folder / path), paths), strict=True))
    samples = [sample for path, index in indices.items() for sample in samples_of(index.members, path)]
    if not samples:
        raise DataError(f"no images in the {count(len(paths), 'shard')} of {source.where}")
    names = tuple(source.class_names or ()) or _listed_names(folder, files)
    annotated = _boxes if holds == "boxes_xyxy" else _labels
    columns, used, notes = annotated(samples, indices, names, source.where, holds)
    left_out = [name for index in indices.values() for name in index.left_out]
    if left_out:
        notes.append(
            f"{count(len(left_out), 'file')} left out: links, devices or paths out of a shard: {examples(left_out)}"
        )
    replaced = [f"{path}:{name}" for path, index in indices.items() for name in index.replaced]
    if replaced:
        notes.append(
            f"{count(len(replaced), 'file is', 'files are')} left out, as a later one in the shard has the same name: "
            f"{examples(replaced)}"
        )
    class_names = used_names(used, names) or naturally_sorted(used)
    table = pa.table(_identifying(samples, files) | columns)
    notes = [f"read as WebDataset from {examples(paths)}", *notes, *numbers_note(class_names)]
    n_ignored = len(files) - len(paths) + len(left_out) + len(replaced) + listing.n_junk
    return Parts(table, class_names, folder.url, n_ignored, notes=tuple(notes))


def _expanded(name: str) -> list[str]:
    """Return the names that ``shard-{000000..000012}.tar`` stands for, as this format's loader understands it."""
    match = _RANGE.search(name)
    if match is None:
        return [name]
    numbers = range(int(match[1]), int(match[2]) + 1)
    return [f"{name[: match.start()]}{number:0{len(match[1])}d}{name[match.end() :]}" for number in numbers]


def _index(shard: Location) -> TarIndex:
    with io.open_file(shard, block_size=_BLOCK) as file:
        return tar_index(file, str(shard), wanted=has_label)


def _listed_names(folder: Location, paths: Mapping[str, FileInfo]) -> tuple[str, ...]:
    """Return the names of the classes, a line each, from a file beside the shards."""
    found = [name for name in _NAMES if name in paths]
    text = io.read_bytes(folder / found[0]).decode("utf-8-sig", "replace") if found else ""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


class _Annotations(NamedTuple):
    columns: dict[str, pa.Array]
    used: set[str]  # labels
    notes: list[str]


def _labels(
    samples: Sequence[Sample], indices: Mapping[str, TarIndex], names: Sequence[str], where: str, holds: str
) -> _Annotations:
    """Return the column of labels.

    Raises:
        DataError: labels cannot be read, or there are none although there are other files than images.
    """
    problems, notes = list[str](), list[str]()
    found = labels_of(samples, problems, notes)
    require_no_problems(where, problems)
    if any(found):
        found = [None if own is None else [_named(label, names) for label in own] for own in found]
        n_without = sum(own is None for own in found)
        notes += [f"{count(n_without, 'image has')} no label"] if n_without else []
    else:
        _require_nothing_but_images(indices, where)
        folders = layout_of([sample.images[0].name for sample in samples], where=where).labels
        found = [None if name is None else [name] for name in folders]
        notes += ["the classes are the folders in the shards"]
    used = {name for own in found for name in own or ()}
    if holds == "labels":
        sets = [None if own is None else sorted(set(own)) for own in found]
        return _Annotations({"labels": pa.array(sets, pa.list_(pa.string()))}, used, notes)
    several = [one.where for one, own in zip(samples, found, strict=True) if len(set(own or ())) > 1]
    if several:
        raise DataError(
            f"{count(len(several), 'sample has')} several labels: {examples(several)}; use task='multilabel'"
        )
    return _Annotations({"label": pa.array([own[0] if own else None for own in found], pa.string())}, used, notes)


def _require_nothing_but_images(indices: Mapping[str, TarIndex], where: str) -> None:
    members = [member for index in indices.values() for member in index.members]
    others = {member.name.rpartition(".")[2] for member in members if not is_image_name(member.name)}
    if others:
        raise DataError(
            f"the shards of {where} hold images without labels, and files of {examples(sorted(others))}: expected a "
            "class in .cls, .json or .txt of an image's name; unpack them to import another format"
        )


def _boxes(
    samples: Sequence[Sample], _indices: Mapping[str, TarIndex], names: Sequence[str], where: str, _holds: str
) -> _Annotations:
    """Return the columns of boxes.

    Raises:
        DataError: there are none, or of a convention that is not known.
    """
    problems = list[str]()
    found = boxes_of(samples, names, problems)
    require_no_problems(where, problems)
    if not any(found):
        raise DataError(f"the shards of {where} hold no boxes: expected 'objects' or 'annotations' in .json")
    lengths = np.array([len(own or ()) for own in found], dtype=np.int64)
    missing = np.array([own is None for own in found], dtype=bool)
    boxes = np.array([shape.box_xyxy for own in found for shape in own or ()], dtype=np.float64).reshape(-1, 4)
    labels = [shape.label for own in found for shape in own or ()]
    columns = {
        "boxes_xyxy": box_list(boxes, lengths, missing),
        "labels": lists_of(pa.array(labels, pa.string()), lengths, missing),
    }
    return _Annotations(columns, {label for label in labels if label is not None}, [])


def _named(label: str, names: Sequence[str]) -> str:
    return class_name(int(label) if label.isdecimal() else label, names)


def _identifying(samples: Sequence[Sample], files: Mapping[str, FileInfo]) -> dict[str, pa.Array]:
    """Return the columns that identify the images, and their splits."""
    images = [sample.images[0] for sample in samples]
    uris = [_uri(sample.shard, image) for sample, image in zip(samples, images, strict=True)]
    versions = [files[sample.shard].version if sample.shard in files else "" for sample in samples]
    hashed = stable_split([image.name for image in images])
    columns = {
        "uri": uris,
        "version": versions,
        "image_id": [image_id(*one) for one in zip(uris, versions, strict=True)],
        "split": [split_in_name(sample.shard) or by_hash for sample, by_hash in zip(samples, hashed, strict=True)],
    }
    return {name: pa.array(values, pa.string()) for name, values in columns.items()}


def _uri(shard: str, image: Member) -> str:
    name = _NOT_IN_NAMES.sub("_", image.name.rpartition("/")[2])
    return packed_url(shard, offset=image.offset, length=image.size, name=name)


WEBDATASET = Format(
    "webdataset",
    holds=("label", "labels", "boxes_xyxy"),
    expected="a .tar file, or a folder of .tar files without other images",
    detect=_detect,
    read=read_webdataset,
    write=write_webdataset,
)
