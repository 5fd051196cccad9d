"""Images that are imported again: which of them a project knows, by address, by picture, or by both.

An address is a URL; a picture is its content. An image keeps its id as long as its picture is the same, wherever that
lies now; another picture at the same address is another image. Contents are read only where versions leave it open.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of, one_chunk
from onlineml.data.formats.parts import image_id
from onlineml.data.images.digests import content_digests
from onlineml.storage import io
from onlineml.storage.versions import current_versions, size_of_version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from onlineml.storage.location import Options

    Rows = npt.NDArray[np.int64]

__all__ = ["Reimported", "reimported"]


class Reimported(NamedTuple):
    """Rows of an import as they are recorded, and the ids of images that are not at their address any more."""

    table: pa.Table
    gone: list[str]


def reimported(
    table: pa.Table,
    known: pa.Table,
    n_placed: int,
    *,
    folder: str,
    url_of: Callable[[str], str],
    storage_options: Options,
) -> Reimported:
    """Give imported images the ids that their pictures have already.

    Args:
        table: that of a manifest, with addresses as the project writes them.
        known: the project's images, those that have an address first: image_id, uri, version, sha256, split and group.
        n_placed: how many of them have an address.
        folder: that of the import, as the project writes addresses; images below it that the import does not have,
            and that are not there any more, are gone; ``""``: none are.
        url_of: gives the URL of an address.
        storage_options: of the images.

    Raises:
        StorageError: the store failed.
    """
    match = _Match(table, known, n_placed, url_of, storage_options)
    match.by_name()
    match.by_content()
    gone = match.moved(folder)
    return Reimported(match.result(), known["image_id"].take(pa.array(gone, pa.int64())).to_pylist())


@dataclass(eq=False)
class _Match:
    """The known image of each imported row.

    Attributes:
        target: (N,) the known image that a row is about, by its address or else by its id; -1: none.
        image: (N,) the known image whose picture a row is; -1: none, or not yet found.
        sha256: by row, where the content was read.
        unreadable: rows that could not be read; they stay what they were.
    """

    table: pa.Table
    known: pa.Table
    n_placed: int
    url_of: Callable[[str], str]
    options: Options

    def __post_init__(self) -> None:
        self.target = self.image = np.empty(0, np.int64)
        self.sha256: dict[int, str] = {}
        self.unreadable: list[int] = []

    def by_name(self) -> None:
        """Find the images whose address or id is known, and among them those of the same version."""
        uris = self.known["uri"].slice(0, self.n_placed)
        at_uri = _index_in(self.table["uri"], uris)
        at_id = _index_in(self.table["image_id"], self.known["image_id"])
        target = np.where(at_uri >= 0, at_uri, at_id)
        same_id = self._same_version(at_id)
        self.target = np.where(same_id, at_id, target)
        self.image = _each_once(np.where(self._same_version(self.target), self.target, -1))
        self.target = np.where(np.isin(self.target, self.image[self.image >= 0]), self.image, self.target)
        self._named = at_id == self.target

    def _same_version(self, at: Rows) -> npt.NDArray[np.bool_]:
        """(N,) whether the version is that of a known image, or not told."""
        index = pa.array(np.where(at >= 0, at, 0), mask=at < 0)
        told = self.known["version"].take(index)
        same = pc.or_(pc.equal(told, self.table["version"]), pc.equal(self.table["version"], ""))
        return mask_of(pc.and_(same, told.is_valid()))

    def by_content(self) -> None:
        """Read the images at known addresses whose version is another one, where it is known what was there."""
        doubtful = np.flatnonzero((self.target >= 0) & (self.image < 0))
        before = self.known["sha256"].take(pa.array(self.target[doubtful], pa.int64())).to_pylist()
        read = [row for row, digest in zip(doubtful.tolist(), before, strict=True) if digest is not None]
        now = dict(zip(read, self._digests(read), strict=True))
        for row, digest in zip(doubtful.tolist(), before, strict=True):
            if digest is None:
                same = bool(self._named[row])  # nobody has seen what was there
            elif now[row] is None:
                self.unreadable.append(row)
                same = True
            else:
                self.sha256[row] = str(now[row])
                same = now[row] == digest
            if same:
                self.image[row] = self.target[row]
        self.image = _each_once(self.image)

    def _digests(self, rows: Sequence[int]) -> list[str | None]:
        uris = self.table["uri"].take(pa.array(rows, pa.int64())).to_pylist()
        return content_digests([self.url_of(uri) for uri in uris], storage_options=self.options)

    # ---- pictures at another address ----

    def moved(self, folder: str) -> list[int]:
        """Find known pictures at other addresses than before; return the images that are nowhere any more."""
        free = np.ones(len(self.known), dtype=bool)
        free[self.image[self.image >= 0]] = False
        new = np.flatnonzero(self.image < 0)
        if not free.any():
            return []
        below = np.zeros(len(self.known), dtype=bool)
        if folder:
            inside = pc.starts_with(self.known["uri"], f"{folder.rstrip('/')}/")
            below = mask_of(inside)
        taken = _index_in(self.known["uri"], self.table["uri"]) >= 0
        placed = np.arange(len(self.known)) < self.n_placed
        asked = np.flatnonzero(free & placed & ~taken & (below | self._alike(new)))
        uris = self.known["uri"].take(pa.array(asked, pa.int64())).to_pylist()
        there = current_versions([self.url_of(uri) for uri in uris], storage_options=self.options)
        missing = asked[np.array([version is None for version in there], dtype=bool)]
        lost = np.concatenate([missing, np.flatnonzero(free & (~placed | taken))])
        self._find(new.tolist(), np.sort(lost).tolist())
        found = set(self.image.tolist())
        return [one for one in missing.tolist() if below[one] and one not in found]

    def _alike(self, new: Rows) -> npt.NDArray[np.bool_]:
        """(K,) the known images that a new row may be: the version is the same, or the size is."""
        versions = one_chunk(self.table["version"].take(pa.array(new, pa.int64())))
        same = pc.is_in(self.known["version"], value_set=versions)
        tagged = mask_of(pc.and_(same, pc.not_equal(self.known["version"], "")))
        read = mask_of(self.known["sha256"].is_valid())
        if not read.any():
            return tagged
        of_size = pc.is_in(_sizes(self.known["version"]), value_set=_sizes(versions))
        alike: npt.NDArray[np.bool_] = tagged | (mask_of(of_size) & read)
        return alike

    def _find(self, new: Sequence[int], lost: Sequence[int]) -> None:
        """Give rows the lost images whose version or content they have, each one once."""
        if not lost:
            return
        rows, images = _facts(self.table, new), _facts(self.known, lost)
        for fact in (_Fact.tag, _Fact.named_content, _Fact.content):
            if fact is _Fact.named_content:
                self._read_alike(rows, images)
            by_fact: dict[object, list[int]] = defaultdict(list)
            for place, image in reversed(images.items()):
                by_time = fact is _Fact.tag and image.sha256 and size_of_version(image.version) is not None
                if (key := fact(image)) is not None and not by_time:  # then the content is compared
                    by_fact[key].append(place)
            for row, one in list(rows.items()):
                found = by_fact.get(fact(one)) if fact(one) is not None else None
                if found:
                    self.image[row] = found.pop()
                    del rows[row], images[int(self.image[row])]

    def _read_alike(self, rows: dict[int, _Fact], images: dict[int, _Fact]) -> None:
        """Read the rows that are as large as a lost image whose content is known."""
        sizes = {size_of_version(image.version) for image in images.values() if image.sha256} - {None}
        read = [row for row, one in rows.items() if size_of_version(one.version) in sizes and row not in self.sha256]
        digests = zip(read, self._digests(read), strict=True)
        self.sha256.update((row, digest) for row, digest in digests if digest is not None)
        for row, one in rows.items():
            rows[row] = one._replace(sha256=self.sha256.get(row, one.sha256))

    # ---- what is recorded ----

    def result(self) -> pa.Table:
        """The rows with the ids that their pictures have, and the group and split of what was at their address."""
        own = self.table["image_id"]
        ids = _taken(self.known["image_id"], self.image)
        ids = pc.coalesce(ids, self._new_ids())
        kin = np.where(self.image >= 0, self.image, self.target)
        alone = pc.equal(self.table["group"], own)
        group = pc.if_else(alone, pc.coalesce(_taken(self.known["group"], kin), ids), self.table["group"])
        split = pc.coalesce(self.table["split"], _taken(self.known["split"], kin))
        unknown = pc.equal(self.table["version"], "")
        unread = np.zeros(len(self.table), dtype=bool)
        unread[self.unreadable] = True
        before = pc.or_(unknown, pa.array(unread))
        version = pc.if_else(before, pc.coalesce(_taken(self.known["version"], self.image), ""), self.table["version"])
        table = self.table
        for name, column in (("image_id", ids), ("group", group), ("split", split), ("version", version)):
            table = table.set_column(table.column_names.index(name), name, column)
        return table

    def _new_ids(self) -> Any:
        """The ids of pictures that are new: their own, if that is not another picture's."""
        known = _index_in(self.table["image_id"], self.known["image_id"]) >= 0
        rows = np.flatnonzero(known & (self.image < 0))
        if not len(rows):
            return self.table["image_id"]
        ids: list[str | None] = self.table["image_id"].to_pylist()
        for row in rows.tolist():
            uri, version = self.table["uri"][row].as_py(), self.table["version"][row].as_py()
            ids[row] = image_id(self.url_of(uri), self.sha256.get(row) or version)
        return pa.array(ids, pa.string())


class _Fact(NamedTuple):
    """One image, and by what it is found again at another address."""

    name: str
    version: str
    sha256: str | None

    def tag(self) -> object:
        """The content's tag; or time and size with the name of the file."""
        if not self.version:
            return None
        return self.version if size_of_version(self.version) is None else (self.name, self.version)

    def named_content(self) -> object:
        """The content with the name of the file."""
        return self.sha256 and (self.name, self.sha256)

    def content(self) -> object:
        """The content."""
        return self.sha256


def _sizes(versions: Any) -> pa.Array:
    """The sizes, as texts, at the end of versions of time and size; null for others."""
    return one_chunk(pc.struct_field(pc.extract_regex(versions, r"-(?P<size>\d{1,18})$"), "size"))


def _facts(table: pa.Table, rows: Sequence[int]) -> dict[int, _Fact]:
    told = table.select(["uri", "version", "sha256"]).take(pa.array(rows, pa.int64())).to_pylist()
    return {
        row: _Fact(io.name(one["uri"]), one["version"] or "", one["sha256"])
        for row, one in zip(rows, told, strict=True)
    }


def _index_in(values: pa.ChunkedArray, names: pa.ChunkedArray) -> Rows:
    """(N,) the place of each value among names; -1 where it is none of them."""
    found = pc.index_in(one_chunk(values), value_set=one_chunk(names))
    return np.asarray(found.fill_null(-1).to_numpy(), dtype=np.int64)


def _taken(column: pa.ChunkedArray, at: Rows) -> pa.Array:
    """(N,) some values; null where the place is -1."""
    return one_chunk(column).take(pa.array(np.where(at >= 0, at, 0), mask=at < 0))


def _each_once(places: Rows) -> Rows:
    """The same places, each one only where it comes first; else -1."""
    _, first = np.unique(places, return_index=True)
    kept = np.full(len(places), -1)
    kept[first] = places[first]
    return kept
