"""Import of datasets that are Python objects; images that exist only in memory are written into a folder."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from onlineml.data.formats.annotated import AnnotatedImage, annotated_parts
from onlineml.data.formats.export import write_many
from onlineml.data.formats.format import Source
from onlineml.data.formats.objects import numbers_note
from onlineml.data.formats.parts import Listing, absolute, common_folder
from onlineml.data.images.headers import sniff
from onlineml.data.images.policies import FORMAT_OF
from onlineml.data.manifest.examples import examples
from onlineml.errors import ConfigError
from onlineml.storage import io
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.formats.parts import Parts
    from onlineml.data.formats.python_objects.items import Item, Items

__all__ = ["read_dataset"]

_TOGETHER = 64  # images in memory at a time


def read_dataset(source: Source, *, holds: str, items: Mapping[str, Items]) -> Parts:
    """Return the import of datasets.

    Args:
        source: `Source.url` is the folder that images are written into which exist only in memory; ``""``: none is.
        holds: the kind of annotation.
        items: by split; `HASHED`: of none.

    Raises:
        ConfigError: images exist only in memory and there is no folder for them, or images lie on several storages.
    """
    images = list[AnnotatedImage]()
    for split, found in items.items():
        for start in range(0, found.n, _TOGETHER):
            own = [found.item(place) for place in range(start, min(start + _TOGETHER, found.n))]
            images += [
                AnnotatedImage(url, item.shapes, split=split, labels=item.labels)
                for url, item in zip(_files(own, start, split or "images", source), own, strict=True)
            ]
    parents = sorted({io.parent(image.name) for image in images})
    written = f"{source.url}/"
    made = bool(source.url) and all(image.name.startswith(written) for image in images)
    root = str(source.url) if made else common_folder(parents) if parents else ""
    if not root:
        raise ConfigError(f"the dataset's images have no folder in common: {examples(parents) or 'none'}")
    prefix = f"{root.rstrip('/')}/"
    listed = [info for folder in parents for info in io.list_files(Location(folder, source.options), recursive=False)]
    files = Listing(tuple(replace(info, path=info.url.removeprefix(prefix)) for info in listed))
    names = tuple(dict.fromkeys(name for found in items.values() for name in found.class_names))
    below = [image._replace(name=image.name.removeprefix(prefix)) for image in images]
    told = Source(root, options=source.options, files=files)
    parts = annotated_parts(below, told, holds=holds, folder=root, class_names=names or None)
    return replace(parts, notes=(*parts.notes, *numbers_note(parts.class_names)))


def _files(items: Sequence[Item], start: int, folder: str, source: Source) -> list[str]:
    """Return the URL of each image; images that are no files are written, each under its number and content."""
    made = {}
    urls = list[str]()
    for place, item in enumerate(items, start):
        if isinstance(item.image, str) and "::" not in item.image:
            urls.append(absolute(item.image))
            continue
        if not str(source.url):
            raise ConfigError(
                "images of the dataset exist only in memory, or inside archives; set folder=<a folder to write them to>"
            )
        content = item.image if isinstance(item.image, bytes) else io.read_bytes(item.image)
        kind = sniff(content)
        ending = next((ending for ending, name in FORMAT_OF.items() if name == kind), ".bin")
        name = f"{folder}/{place:06d}-{sha256(content).hexdigest()[:12]}{ending}"
        made[name] = content
        urls.append((source.at / name).url)
    if made:
        write_many(source.at, made)
    return urls
