"""WebDataset: shards (tar archives) in which the files of a sample have one name with several extensions.

``0001.jpg`` with ``0001.cls`` (a class, or its number), ``0001.json`` or ``0001.txt``
(https://webdataset.github.io/webdataset/). Images stay where they are: a shard is a run of byte ranges, as that of
`onlineml.Manifest.pack` is. The name of a sample ends at the first dot of a file's name, as everywhere in this format.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from onlineml.data.formats.boxes import require_no_problems
from onlineml.data.formats.folder_layout import layout_of
from onlineml.data.formats.format import Format, Source
from onlineml.data.formats.objects import class_name, numbers_note, used_names
from onlineml.data.formats.parts import Parts, image_id, naturally_sorted
from onlineml.data.formats.tar_index import TarIndex, tar_index
from onlineml.data.formats.webdataset_write import write_webdataset
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import split_in_name, stable_split
from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.shards import packed_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.format import Place
    from onlineml.data.formats.tar_index import Member
    from onlineml.storage.io import FileInfo
    from onlineml.storage.location import Location

__all__ = ["WEBDATASET", "Sample", "has_label", "labels_of", "read_webdataset", "samples_of", "write_webdataset"]

_LABELS = ("cls", "label", "class")  # extensions of files with a class
_LABEL_KEYS = ("label", "labels", "class", "classes", "cls", "category", "class_name")
_BOX_WORDS = ("box", "annotations", "objects", "shapes")
_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NAMES = ("classes.txt", "classnames.txt", "class_names.txt", "labels.txt")
_RANGE = re.compile(r"\{(\d{1,6})\.\.(\d{1,6})\}")
_NOT_IN_NAMES = re.compile(r"[#*?\[\]\\]")  # which would make of a URL something else
_TOGETHER = 16  # shards
_BLOCK = 128_000  # bytes of a request, which takes about as long as reading these: see storage.shards
_CAPTIONS_FROM = 10  # images from which on texts that are all different are captions
_LONGEST_LABEL = 100


@dataclass
class Sample:
    """The files of one sample by their extension in lower case, its place for messages, and the path of its shard."""

    where: str
    shard: str
    files: dict[str, Member] = field(default_factory=dict)

    @property
    def images(self) -> list[Member]:
        """The images among the files."""
        return [member for ending, member in self.files.items() if is_image_name(f"x.{ending}")]

    def text(self, *endings: str) -> str | None:
        """Return the content of the first file whose extension has one of these words; None if there is none."""
        found = (one for word in endings for ending, one in self.files.items() if word in ending.split("."))
        member = next(found, None)
        return None if member is None else member.content.decode("utf-8-sig", "replace").strip()


def has_label(path: str) -> bool:
    """Return whether a file of a shard may hold a label."""
    words = path.rpartition("/")[2].lower().split(".")[1:]
    return bool({*_LABELS, "json", "txt"} & set(words))


def samples_of(members: Sequence[Member], shard: str) -> list[Sample]:
    """Group the files of a shard by the names of their samples, wherever in it they lie.

    Raises:
        DataError: samples of several images.
    """
    samples = _grouped(members, shard, from_right=False)
    if any(len(sample.images) > 1 for sample in samples):  # names with dots of their own, against the rules
        others = _grouped(members, shard, from_right=True)
        if all(sample.images and sample.text(*_LABELS, "json", "txt") for sample in others):
            samples = others
    several = [f"{one.where}.{{{','.join(one.files)}}}" for one in samples if len(one.images) > 1]
    if several:
        raise DataError(
            f"{len(several):,} samples of {shard} have several images: {examples(several)}; expected one image a sample"
        )
    return [sample for sample in samples if sample.images]


def _grouped(members: Sequence[Member], shard: str, *, from_right: bool) -> list[Sample]:
    samples: dict[str, Sample] = {}
    for member in members:
        folder, slash, name = member.name.rpartition("/")
        stem, _, ending = name.rpartition(".") if from_right else name.partition(".")
        key = f"{folder}{slash}{stem}"
        samples.setdefault(key, Sample(f"{shard}:{key}", shard)).files[ending.lower()] = member
    return list(samples.values())


def labels_of(samples: Sequence[Sample], problems: list[str]) -> list[list[str] | None]:
    """Return the labels of each sample: from ``.cls``, else from ``.json``, else from ``.txt``."""
    found = [_names(sample.text(*_LABELS)) for sample in samples]
    if any(found):
        return found
    found = [_json_labels(sample, problems) for sample in samples]
    if any(found) or problems:
        return found
    texts = [sample.text("txt") for sample in samples]
    known = [text for text in texts if text]
    if any(len(text) > _LONGEST_LABEL or "\n" in text for text in known) or (
        len(known) >= _CAPTIONS_FROM and len(set(known)) == len(known)
    ):
        problems.append(
            f"the .txt files are captions, such as {known[0]!r:.80}, not classes; expected a class in .cls or .json"
        )
    return [_names(text) for text in texts]


def _names(text: str | None) -> list[str] | None:
    return [text] if text else None


def _json_labels(sample: Sample, problems: list[str]) -> list[str] | None:
    text = sample.text("json")
    if not text:
        return None
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        problems.append(f"{sample.where}.json is not JSON: {error}")
        return None
    if isinstance(content, int | str) and not isinstance(content, bool):
        return [str(content)]
    facts: Mapping[str, Any] = content if isinstance(content, dict) else {}
    if boxes := [key for key in facts if any(word in key.lower() for word in _BOX_WORDS)]:
        problems.append(
            f"{sample.where}.json has {examples(boxes)}: boxes in shards have no common convention; unpack the shards "
            "and import the boxes in a format that has one, such as COCO"
        )
    keys = [key for key in _LABEL_KEYS if facts.get(key) is not None]
    if not keys:
        return None
    value = facts[keys[0]]
    values = value if isinstance(value, list) else [value]
    wrong = [one for one in values if isinstance(one, bool | float) or not isinstance(one, int | str)]
    if wrong:
        problems.append(f"{sample.where}.json: {keys[0]!r} is {value!r:.80}, not a class or a list of classes")
        return None
    return [str(one) for one in values]


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
        raise DataError(f"no images in the {len(paths):,} shards of {source.where}")
    names = tuple(source.class_names or ()) or _listed_names(folder, files)
    labels, notes = _labels(samples, indices, names, source.where)
    several = [one.where for one, own in zip(samples, labels, strict=True) if len(set(own or ())) > 1]
    if several and holds == "label":
        raise DataError(f'{len(several):,} samples have several labels: {examples(several)}; use task="multilabel"')
    left_out = [name for index in indices.values() for name in index.left_out]
    if left_out:
        notes.append(f"{len(left_out):,} links, devices or paths out of a shard were left out: {examples(left_out)}")
    used = {name for own in labels for name in own or ()}
    class_names = used_names(used, names) or naturally_sorted(used)
    table = _table(samples, labels, files, holds)
    notes = [f"read as WebDataset from {examples(paths)}", *notes, *numbers_note(class_names)]
    n_ignored = len(files) - len(paths) + len(left_out) + listing.n_junk
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


def _labels(
    samples: Sequence[Sample], indices: Mapping[str, TarIndex], names: Sequence[str], where: str
) -> tuple[list[list[str] | None], list[str]]:
    """Return the labels of the samples, and notes.

    Raises:
        DataError: labels cannot be read, or there are none although there are other files than images.
    """
    problems = list[str]()
    found = labels_of(samples, problems)
    require_no_problems(where, problems)
    if any(found):
        numbered = [None if own is None else [_named(label, names) for label in own] for own in found]
        n_without = sum(own is None for own in found)
        return numbered, [f"{n_without:,} images have no label"] if n_without else []
    members = [member for index in indices.values() for member in index.members]
    others = {member.name.rpartition(".")[2] for member in members if not is_image_name(member.name)}
    if others:
        raise DataError(
            f"the shards of {where} hold images without labels, and files of {examples(sorted(others))}: expected a "
            "class in .cls, .json or .txt of an image's name; unpack them to import another format"
        )
    folders = layout_of([sample.images[0].name for sample in samples], where=where).labels
    return [None if name is None else [name] for name in folders], ["the classes are the folders in the shards"]


def _named(label: str, names: Sequence[str]) -> str:
    return class_name(int(label) if label.isdecimal() else label, names)


def _table(
    samples: Sequence[Sample], labels: Sequence[list[str] | None], files: Mapping[str, FileInfo], holds: str
) -> pa.Table:
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
    told: list[Any] = (
        [own and sorted(set(own)) for own in labels] if holds == "labels" else [own and own[0] for own in labels]
    )
    kind = pa.list_(pa.string()) if holds == "labels" else pa.string()
    return pa.table(
        {name: pa.array(values, pa.string()) for name, values in columns.items()} | {holds: pa.array(told, kind)}
    )


def _uri(shard: str, image: Member) -> str:
    name = _NOT_IN_NAMES.sub("_", image.name.rpartition("/")[2])
    return packed_url(shard, offset=image.offset, length=image.size, name=name)


WEBDATASET = Format(
    "webdataset",
    holds=("label", "labels"),
    expected="a .tar file, or a folder of .tar files without other images",
    detect=_detect,
    read=read_webdataset,
    write=write_webdataset,
)
