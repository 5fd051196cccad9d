"""Writer of WebDataset shards."""

from __future__ import annotations

import io as buffers
import tarfile
from typing import TYPE_CHECKING

import msgspec

from onlineml.data.formats.annotated import annotated_images
from onlineml.data.formats.export import empty_folder, image_chunks
from onlineml.data.images.policies import extension
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["write_webdataset"]

_SHARD_BYTES = 64_000_000


def write_webdataset(manifest: Manifest, at: Location) -> str:
    """Copy the images into shards ``<split>-000000.tar``, with their classes' numbers in ``.cls``.

    The names of the classes are in ``classes.txt``, a line each; sets of classes and boxes are in ``.json``, by name.
    Groups and further columns are not written. A shard is in memory until it is written.

    Raises:
        AlreadyExistsError: the folder holds files already.
        DataError: the name of a class has several lines.
        StorageError: an image cannot be read or written.
    """
    if bad := [name for name in manifest.class_names if name.strip() != name or len(name.splitlines()) != 1]:
        raise DataError(f"class names that are no line of a file: {bad[0]!r}; rename them")
    target = empty_folder(at)
    splits = manifest.table["split"].to_pylist()
    for split in dict.fromkeys(splits):
        own = manifest.take([row for row, one in enumerate(splits) if one == split])
        for number, shard in enumerate(_shards(own)):
            io.write_bytes(target / f"{split or 'all'}-{number:06d}.tar", shard)
    io.write_bytes(target / "classes.txt", "".join(f"{name}\n" for name in manifest.class_names).encode())
    return target.url


def _shards(manifest: Manifest) -> Iterator[bytes]:
    samples = _samples(manifest)
    sample = next(samples, None)
    while sample is not None:
        buffer = buffers.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            while sample is not None and (buffer.tell() == 0 or buffer.tell() < _SHARD_BYTES):
                for name, content in sample.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    archive.addfile(info, buffers.BytesIO(content))
                sample = next(samples, None)
        yield buffer.getvalue()


def _samples(manifest: Manifest) -> Iterator[Mapping[str, bytes]]:
    """Yield the files of each image by their names."""
    images = annotated_images(manifest)
    places = {name: place for place, name in enumerate(manifest.class_names)}
    for rows, contents in image_chunks(manifest):
        for row, (image, content) in enumerate(zip(images[rows], contents, strict=True), rows.start):
            files = {f"{row:07d}{extension(image.name)}": content}
            if image.shapes is not None:
                boxes = [shape.box_xyxy for shape in image.shapes]
                sides = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in boxes]
                objects = {"bbox": sides, "category": [shape.label for shape in image.shapes]}
                files[f"{row:07d}.json"] = msgspec.json.encode({"objects": objects})
            elif image.labels is not None and manifest.kind.key == "label":
                files[f"{row:07d}.cls"] = str(places[image.labels[0]]).encode()
            elif image.labels is not None:
                files[f"{row:07d}.json"] = msgspec.json.encode({"labels": list(image.labels)})
            yield files
