"""Samples of WebDataset's shards, and what the files beside an image say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.formats.columns import label_key
from onlineml.data.formats.objects import shapes_of
from onlineml.data.images.policies import is_image_name
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage.documents import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.annotated import Shape
    from onlineml.data.formats.webdataset.tar_index import Member

__all__ = ["Sample", "boxes_of", "has_label", "labels_of", "samples_of"]

_LABELS = ("cls", "label", "class")  # extensions of files with a class
_BOX_WORDS = ("box", "annotations", "objects", "shapes")
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
            f"{count(len(several), f'sample of {shard} has', f'samples of {shard} have')} several images: "
            f"{examples(several)}; expected one image a sample"
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


def labels_of(samples: Sequence[Sample], problems: list[str], notes: list[str]) -> list[list[str] | None]:
    """Return the labels of each sample: from ``.cls``, else from ``.json``, else from ``.txt``; note unread boxes."""
    found = [_names(sample.text(*_LABELS)) for sample in samples]
    if any(found):
        return found
    found = [_json_labels(sample, problems, notes) for sample in samples]
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


def _facts(sample: Sample, problems: list[str]) -> Any:
    """Return what the ``.json`` of a sample holds; None if there is none."""
    text = sample.text("json")
    try:
        return json_value(text, null_for_nan=True) if text else None
    except (ValueError, RecursionError) as error:
        problems.append(f"{sample.where}.json is not JSON: {error}")
        return None


def _json_labels(sample: Sample, problems: list[str], notes: list[str]) -> list[str] | None:
    content = _facts(sample, problems)
    if isinstance(content, int | str) and not isinstance(content, bool):
        return [str(content)]
    facts: Mapping[str, Any] = content if isinstance(content, dict) else {}
    key = label_key(tuple(name for name, value in facts.items() if value is not None))
    boxes = _about_boxes(facts)
    unread = f'{examples(boxes)} in .json files were not read beside the labels; task="detection" reads boxes'
    if key is not None and boxes and unread not in notes:
        notes.append(unread)
    if key is None:
        if boxes:
            problems.append(f'{sample.where}.json has {examples(boxes)} and no class; read boxes with task="detection"')
        return None
    value = facts[key]
    values = value if isinstance(value, list) else [value]
    wrong = [one for one in values if isinstance(one, bool | float) or not isinstance(one, int | str)]
    if wrong:
        problems.append(f"{sample.where}.json: {key!r} is {value!r:.80}, not a class or a list of classes")
        return None
    return [str(one) for one in values]


def _about_boxes(facts: Mapping[str, Any]) -> list[str]:
    return [key for key in facts if any(word in key.lower() for word in _BOX_WORDS)]


def boxes_of(samples: Sequence[Sample], names: Sequence[str], problems: list[str]) -> list[list[Shape] | None]:
    """Return the boxes of each sample from ``.json``: those of COCO or Hugging Face, which mean the same.

    Args:
        samples: in any order; one without boxes in its ``.json`` was annotated by nobody.
        names: of the classes that numbers stand for.
        problems: gets boxes of any other convention.
    """
    return [_boxes(sample, names, problems) for sample in samples]


def _boxes(sample: Sample, names: Sequence[str], problems: list[str]) -> list[Shape] | None:
    content = _facts(sample, problems)
    keys = _about_boxes(content) if isinstance(content, dict) else []
    if not keys:
        return None
    value = content[keys[0]]
    known = isinstance(value, dict) and "bbox" in value
    known |= isinstance(value, list) and all(isinstance(one, dict) and "bbox" in one for one in value)
    if keys not in (["objects"], ["annotations"]) or not known:
        problems.append(
            f"{sample.where}.json has {examples(keys)}: only 'objects' or 'annotations' with 'bbox' as [x, y, width, "
            "height] have one meaning; unpack the shards and import the boxes in a format that has one, such as COCO"
        )
        return None
    return shapes_of(value, f"{sample.where}.json", problems, names=names)
