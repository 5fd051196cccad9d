"""Work on many images in parts: what is to be done is written first, and each part's result once, when it is whole.

A folder holds ``images-0000.parquet`` and so on, with a row group for each of some parts; ``plan.json``, written after
them, which says what is done with the images; and the results, ``part-00000.parquet`` and so on. Whoever calls again
does what is missing.
"""

from __future__ import annotations

import io as streams
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from onlineml.errors import AlreadyExistsError, ConfigError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.documents import read_json, reading_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.storage.location import Location

__all__ = ["Parts"]

_PLAN = "plan.json"
_TOGETHER = 100  # parts whose images are in one file: who reads one part reads where all parts of its file begin


@dataclass(frozen=True)
class Parts:
    """The parts of one piece of work, in its folder.

    Attributes:
        folder: of the work.
        n: number of parts.
        n_images: of all parts.
        part_size: images in a part; the last one may have fewer.
        ending: of the results' files.
    """

    folder: Location
    n: int
    n_images: int
    part_size: int
    ending: str

    @classmethod
    def opened(
        cls, folder: Location, *, facts: Mapping[str, Any], images: Callable[[], pa.Table], part_size: int, ending: str
    ) -> Parts:
        """Open the work in a folder, or begin it.

        Args:
            folder: of the work.
            facts: JSON values that decide the results; those of an earlier call must be equal.
            images: returns a row for each image; called only to begin.
            part_size: images in a part, if it begins.
            ending: of the results' files, such as ``".parquet"``.

        Raises:
            ConfigError: the folder holds other work.
        """
        try:
            plan = read_json(folder / _PLAN)
        except NotFoundError:
            plan = _begun(folder, facts, images(), part_size)
        before = plan.get("facts")
        if not isinstance(before, dict) or not all(
            isinstance(plan.get(name), int) for name in ("n_images", "part_size")
        ):
            raise StorageError(f"{folder / _PLAN} is damaged: delete the folder, and begin again")
        if before != dict(facts):
            names = sorted({*before, *facts})
            differ = [
                f"{n} was {before.get(n)!r}, now {facts.get(n)!r}" for n in names if before.get(n) != facts.get(n)
            ]
            raise ConfigError(f"{folder} holds other work ({'; '.join(differ)[:500]}): use the same, or a new folder")
        n_images, size = int(plan["n_images"]), max(1, int(plan["part_size"]))
        return cls(folder, -(-n_images // size), n_images, size, ending)

    def missing(self) -> list[int]:
        """Return the numbers of the parts that have no result yet."""
        there = {info.path for info in io.list_files(self.folder, recursive=False)}
        return [part for part in range(self.n) if self.name(part) not in there]

    def name(self, part: int) -> str:
        """The name of a part's result."""
        return f"part-{part:05}{self.ending}"

    def images(self, part: int) -> pa.Table:
        """The rows of a part's images."""
        file = self.folder / _images_name(part)
        with reading_parquet(file), io.open_file(file) as opened:
            return pq.ParquetFile(opened).read_row_group(part % _TOGETHER)

    def commit(self, part: int, data: bytes) -> None:
        """Write the result of a part, unless somebody else has."""
        try:
            io.create_bytes(self.folder / self.name(part), data)
        except AlreadyExistsError:
            return  # a worker that was taken for lost

    def read(self, part: int) -> bytes:
        """The result of a part."""
        return io.read_bytes(self.folder / self.name(part))


def _images_name(part: int) -> str:
    """The name of the file with the images of a part."""
    return f"images-{part // _TOGETHER:04}.parquet"


def _begun(folder: Location, facts: Mapping[str, Any], images: pa.Table, part_size: int) -> dict[str, Any]:
    for first in range(0, -(-len(images) // part_size), _TOGETHER):
        buffer = streams.BytesIO()
        pq.write_table(images.slice(first * part_size, _TOGETHER * part_size), buffer, row_group_size=part_size)
        io.write_bytes(folder / _images_name(first), buffer.getvalue())
    plan = {"facts": dict(facts), "n_images": len(images), "part_size": part_size}
    try:
        io.create_bytes(folder / _PLAN, json.dumps(plan, indent=2, ensure_ascii=False).encode())
    except AlreadyExistsError:  # somebody began at the same moment, maybe with other images
        raise ConfigError(f"{folder}: somebody else has just begun work there; use another folder") from None
    return plan
