"""Requests to S3, and bytes, of each step of onlineml, as its code makes them; `plan.py --check` counts them.

All are those of a process that has read nothing before, with nothing in its caches. Not in them: the some forty
requests with which a process finds out once what a bucket guarantees, and repeated ones after a 503.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

PAGE = 1000  # names in an answer to LIST, of S3
SEEN_BATCH = 4096  # images whose facts are in one file, of `freeze`
PICTURES_ON_A_PAGE = 48  # of a gallery
SPAN_BYTES = 16_000_000  # of a request for many images of a shard that lie together
TOGETHER = 64  # images that are read together, in passes over all

# https://aws.amazon.com/s3/pricing, us-east-1, S3 Standard, as of November 2026
PUT_USD = 0.005 / 1000  # PUT, COPY, POST and LIST; DELETE costs nothing
GET_USD = 0.0004 / 1000  # GET and all others
GB_MONTH_USD = ((50_000, 0.023), (450_000, 0.022), (float("inf"), 0.021))  # GB of each step, and a GB's price a month

# Bytes of a row in Parquet, with the URI of a bucket, its ETag and a sha256: `plan.py --check` measures them
IMPORT_ROW, SEEN_ROW, DATASET_ROW = 60, 55, 115


@dataclass(frozen=True)
class Requests:
    """Numbers of requests by kind, and the bytes that they carry."""

    puts: float = 0
    gets: float = 0
    heads: float = 0
    lists: float = 0
    deletes: float = 0
    written: float = 0
    read: float = 0

    def __add__(self, other: Requests) -> Requests:
        return Requests(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __mul__(self, times: float) -> Requests:
        return Requests(*(getattr(self, one.name) * times for one in fields(self)))

    @property
    def n(self) -> float:
        return self.puts + self.gets + self.heads + self.lists + self.deletes

    @property
    def usd(self) -> float:
        return (self.puts + self.lists) * PUT_USD + (self.gets + self.heads) * GET_USD


@dataclass(frozen=True)
class Holdings:
    """What a project has.

    Attributes:
        images: their number; of these ``train`` are trained on.
        image_bytes: of a photo, on average.
        imports: tables that were imported; each has a row for what was new then.
        seen: files of what opening images told.
        log: objects of the annotation log.
        datasets: frozen so far.
        model_files: of all published versions.
        folders: in which the photos are.
        seen_batch: images in a file of ``seen``.
    """

    images: int
    image_bytes: float = 100_000
    train: int = 0
    imports: int = 0
    seen: int = 0
    log: int = 0
    datasets: int = 0
    model_files: int = 0
    folders: int = 100
    seen_batch: int = SEEN_BATCH

    def but(self, **changes: int) -> Holdings:
        return replace(self, **changes)


MISSING = Requests(heads=1, lists=1)  # asking for what is not there: by its name, then as a folder


def pages(n: float) -> int:
    return max(1, int(-(-n // PAGE)))


def listing(held: Holdings) -> Requests:
    """All names below the folder of the photos, one page after the other."""
    return Requests(lists=pages(held.images))


def comparing(held: Holdings) -> Requests:
    """The versions that the photos have now, in `freeze`: a listing; up to eight folders are listed each alone."""
    return Requests(lists=held.folders * pages(held.images / held.folders)) if held.folders <= 8 else listing(held)


def state(held: Holdings) -> Requests:
    """Labels and images as they are now: the log is listed before and after it is read, then the imported tables."""
    tables = held.images * IMPORT_ROW if held.imports else 0
    return Requests(lists=2 * pages(held.log), gets=held.log + held.imports, read=tables)


def create() -> Requests:
    return Requests(puts=1)


def label(held: Holdings) -> Requests:
    """A label saved by who has read the state before."""
    del held
    return Requests(puts=1)


def add(held: Holdings, *, new: int) -> Requests:
    """`project.add` of a manifest with all photos, of which some are new; what was read before is looked up."""
    known = (
        Requests(lists=pages(held.seen), gets=held.seen, read=held.images * SEEN_ROW) if held.imports else Requests()
    )
    return state(held) + known + MISSING + Requests(puts=2, written=new * IMPORT_ROW)


def freeze(held: Holdings, *, new: int) -> Requests:
    """`project.freeze`, of whose images ``new`` were never opened."""
    opened = Requests(puts=-(-new // held.seen_batch), gets=new, read=new * held.image_bytes, written=new * SEEN_ROW)
    seen = Requests(lists=pages(held.seen), gets=held.seen, read=(held.images - new) * SEEN_ROW)
    findings = Requests(gets=1 if held.datasets else 0)  # of the last dataset
    files = Requests(puts=4, written=held.images * DATASET_ROW)
    # the entry that says so, and a look whether the log has many small objects
    entry = Requests(puts=1, lists=2 * pages(held.log + 1), gets=1)
    return state(held) + findings + seen + comparing(held) + opened + MISSING * 2 + files + entry


def gallery(held: Holdings) -> Requests:
    """A gallery of the project opened: it opens the project for itself, and asks for the classes after the state."""
    return Requests(gets=1, lists=2 * pages(held.log)) + state(held)


def gallery_page(held: Holdings) -> Requests:
    n = min(PICTURES_ON_A_PAGE, held.images)
    return Requests(gets=n, read=n * held.image_bytes)


def epoch(held: Holdings) -> Requests:
    """One epoch of training from single objects, with no cache; from shards nearly the same, see `_plan_shuffle`."""
    return Requests(gets=held.train, read=held.train * held.image_bytes)


def pack(held: Holdings, *, shards: int) -> Requests:
    """`Manifest.pack`; its images are read one by one."""
    files = Requests(puts=shards + 2, written=held.images * (held.image_bytes + DATASET_ROW))
    return MISSING * 2 + Requests(gets=held.images, read=held.images * held.image_bytes) + files


def passing(held: Holdings, *, shards: int) -> Requests:
    """All images of one split of a packed dataset in their order, such as evaluating: they lie together."""
    a_group = -(-min(TOGETHER, held.images) * held.image_bytes // SPAN_BYTES)
    gets = -(-held.images // TOGETHER) * a_group + shards - 1  # a group may lie in two shards
    return Requests(gets=gets, read=held.images * held.image_bytes)


def publish(held: Holdings, *, files: int, size: float) -> Requests:
    """A model of some files; its versions are listed twice, to find the next number."""
    return Requests(lists=2 * pages(held.model_files), puts=files, written=size) + MISSING * 2


def loose_read(n: int) -> Requests:
    """Reading ``n`` objects of the log that nobody has merged."""
    return Requests(lists=2 * pages(n), gets=n)


def compact(n: int) -> Requests:
    """Merging ``n`` objects of the log: they are read, written as one and deleted."""
    return loose_read(n) + Requests(puts=1, deletes=n)


def month_usd(size: float) -> float:
    """Price of keeping some bytes for a month."""
    left, total = size / 1e9, 0.0
    for step, price in GB_MONTH_USD:
        total += min(left, step) * price
        left -= min(left, step)
    return total
