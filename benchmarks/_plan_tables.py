"""The tables of docs/storage/scale.md, from the calculator's counts, the measured points and what is simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import _plan_measured as measured
import _plan_requests as plan
import _plan_simulated as simulated
from _plan_requests import Holdings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# as of November 2026; prices of us-east-1, S3 Standard
_S3_LIMITS = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html"
_S3_PRICES = "https://aws.amazon.com/s3/pricing/"
PREFIX_GETS, PREFIX_PUTS = 5_500, 3_500  # a second, for each prefix
FIRST_BYTE_S = 0.15  # 0.1 to 0.2 s
LIST_S = 0.2  # a page of a thousand names, one after another
CONNECTIONS = 64  # of one process of this library
MODEL_BYTES, MODEL_FILES = 100e6, 6
PAGE = 50  # photos on a page of `Relabel`, with which the log is read again


@dataclass(frozen=True)
class Plan:
    """What is planned.

    Attributes:
        images: photos in all.
        nodes: machines that train or predict.
        image_bytes: of a photo, on average.
        classes: their number.
        people: who label at the same time.
        labels: a day, by all of them.
        rates: photos a second that a node trains on.
        memory_gb: of a machine.
        part: photos in a project, if they are divided.
    """

    images: int = 100_000_000
    nodes: int = 64
    image_bytes: int = 100_000
    classes: int = 1000
    people: int = 50
    labels: int = 10_000
    rates: tuple[int, ...] = (500, 2000, 8000)
    memory_gb: int = 64
    part: int = 1_000_000


Table = list[list[str]]


def short(value: float) -> str:
    """Two digits that count."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 else f"{rounded:g}"


def size(n_bytes: float) -> str:
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if n_bytes >= factor:
            return f"{short(n_bytes / factor)} {unit}"
    return f"{short(n_bytes)} B"


def time(seconds: float) -> str:
    for unit, factor in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * factor:
            return f"{short(seconds / factor)} {unit}"
    return f"{short(seconds)} s"


def usd(value: float) -> str:
    if value >= 10:
        return f"${short(value)}"
    return f"${value:.2f}" if value >= 0.01 else "under $0.01"


def markdown(table: Table) -> str:
    head, *rows = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([head, f"|{'---|' * len(table[0])}", *rows])


# ---- the tables ----


def assumed(given: Plan) -> Table:
    """What is taken for granted."""
    return [
        ["what", "value", "source"],
        [
            "photos, of which 80 % are trained on",
            f"{given.images // 1_000_000} million of {given.image_bytes // 1000} KB",
            "the plan",
        ],
        ["nodes", f"{given.nodes}", "the plan"],
        ["people who label, labels a day", f"{given.people}, {given.labels:,}", "the plan"],
        ["GET and HEAD a second for each prefix", f"{PREFIX_GETS:,}", f"[S3]({_S3_LIMITS})"],
        ["PUT and DELETE a second for each prefix", f"{PREFIX_PUTS:,}", f"[S3]({_S3_LIMITS})"],
        ["until the first byte", f"{FIRST_BYTE_S} s", f"[S3]({_S3_LIMITS}): 0.1 to 0.2 s"],
        ["a page of 1,000 names", f"{LIST_S} s", "the same, and its names"],
        ["a thousand PUT, COPY, POST or LIST", f"${plan.PUT_USD * 1000:g}", f"[S3]({_S3_PRICES})"],
        ["a thousand GET or HEAD; DELETE is free", f"${plan.GET_USD * 1000:g}", f"[S3]({_S3_PRICES})"],
        ["a GB for a month", "$0.023, from 50 TB on $0.022", f"[S3]({_S3_PRICES})"],
        ["requests at once of one process", f"{CONNECTIONS}", "onlineml"],
        ["objects of the log after which who writes merges", f"{simulated.LOOSE}", "onlineml"],
        ["photos in a file of what opening them told", f"{plan.SEEN_BATCH:,}", "onlineml"],
        [
            "photos that were measured",
            ", ".join(f"{n:,}" for n in measured.SIZES),
            "`benchmarks/scale.py`",
        ],
        ["decoding a photo for training", f"{measured.DECODE_S * 1000:.1f} ms of a core", "measured"],
        ["opening a photo in `freeze`", f"{measured.CHECK_S * 1000:.1f} ms of a core", "measured"],
    ]


def part_steps(given: Plan) -> Table:
    """Requests, price, processor and memory of each step of a project of a part of the photos."""
    return _table_of_steps(given.part, given)


def whole_steps(given: Plan) -> Table:
    """The same, if all photos were in one project."""
    return _table_of_steps(given.images, given)


def _table_of_steps(n: int, given: Plan) -> Table:
    rows = [[f"{short(n / 1e6)} million photos", "requests", "price", "processor", "memory"]]
    for name, (asked, key, each_s) in _steps(n, given).items():
        step = measured.STEPS.get(key)
        used = [time(step.cpu_s(n) + each_s * n), f"{short(step.memory_gb(n))} GB"] if step else ["", ""]
        rows.append([name, short(asked.n), usd(asked.usd), *used])
    return rows


def _steps(n: int, given: Plan) -> dict[str, tuple[plan.Requests, str, float]]:
    """By the step's name for people, its requests, its name among the measured ones, and what opening a photo takes."""
    empty = Holdings(n, given.image_bytes, train=round(0.8 * n))
    first = empty.but(imports=1, log=1)
    held = first.but(seen=-(-n // plan.SEEN_BATCH), log=64, datasets=1)
    shards = -(-n * given.image_bytes // 64_000_000)
    check_s, decode_s = measured.CHECK_S, 0.8 * measured.DECODE_S
    return {
        "import by listing": (plan.listing(empty), "import", 0),
        "`project.add`": (plan.add(empty, new=n), "add", 0),
        "`freeze`, all opened": (plan.freeze(first, new=n), "freeze", check_s),
        "one new photo: import and add": (plan.listing(held) + plan.add(held, new=1), "sync of one new", 0),
        "`freeze` with it": (plan.freeze(held.but(imports=2), new=1), "freeze again", 0),
        "the state": (plan.state(held), "fold", 0),
        "a label": (plan.label(held), "", 0),
        "the gallery opened": (plan.gallery(held), "gallery opened", 0),
        "a page of it": (plan.gallery_page(held), "", 0),
        "an epoch, no cache": (plan.epoch(held), "first batch, 0 workers", decode_s),
        "`pack`": (plan.pack(held, shards=shards), "", 0),
        "a pass over shards, split by split": (plan.passing(held, shards=shards), "", 0),
        "publishing": (plan.publish(held, files=MODEL_FILES, size=MODEL_BYTES), "", 0),
    }


def listings(given: Plan) -> Table:
    """How long a listing takes, by the prefixes that are listed at the same time."""
    n = plan.pages(given.images)
    return [
        ["prefixes listed at once", "pages each", "time", "price"],
        *(
            [f"{at_once:,}", short(n / at_once), time(n / at_once * LIST_S), usd(n * plan.PUT_USD)]
            for at_once in (1, 10, 100, 1000)
        ),
    ]


def training(given: Plan) -> Table:
    """What training from single photos asks of S3, of the network and of each node."""
    head = ["photos a second of a node", "GETs a second of all", "prefixes needed", "network of a node"]
    rows = [[*head, "requests at once", "worker processes", "cores for decoding", "an epoch"]]
    for rate in given.rates:
        total, flying = rate * given.nodes, rate * FIRST_BYTE_S
        rows.append(
            [
                f"{rate:,}",
                short(total),
                f"{-(-total // PREFIX_GETS):,}",
                f"{short(rate * given.image_bytes * 8 / 1e9)} Gbit/s",
                short(flying),
                f"{math.ceil(flying / CONNECTIONS)}",
                short(rate * measured.DECODE_S),
                time(0.8 * given.images / total),
            ]
        )
    return rows


def shards(given: Plan) -> Table:
    """Shards by their size: their number, and the requests of a pass in order and of shuffled batches."""
    rows = [["shard", "photos in it", "shards", "requests of a pass in order", "price", "of a shuffled epoch", "price"]]
    for mb in (16, 64, 256, 1000):
        per = mb * 1_000_000 // given.image_bytes
        n = -(-given.images // per)
        passing = plan.passing(Holdings(given.images, given.image_bytes), shards=n)
        each = simulated.requests_of_a_batch(
            images=given.images, image_bytes=given.image_bytes, per_shard=per, batch=256
        )
        epoch = plan.Requests(gets=0.8 * given.images * each)
        rows.append(
            [
                f"{mb:,} MB",
                f"{per:,}",
                *(short(one) for one in (n, passing.n)),
                usd(passing.usd),
                short(epoch.n),
                usd(epoch.usd),
            ]
        )
    return rows


def mixings(given: Plan) -> Table:
    """How batches are mixed by what is shuffled together."""
    per = 64_000_000 // given.image_bytes
    rows = [
        [
            "shuffled together",
            "memory of a node",
            "classes in a node's batch of 256",
            "worth",
            f"classes in the batch of {given.nodes} nodes",
            "worth",
        ]
    ]
    for n in (1, 4, 16, 64, 256, 0):
        alone, together = (
            simulated.mixing(
                images=given.images,
                n_classes=given.classes,
                per_shard=per,
                mixed_shards=n * nodes,
                batch=256 * nodes,
                n_batches=200 if nodes == 1 else 20,
            )
            for nodes in (1, given.nodes)
        )
        name = f"{n} shards of 64 MB" if n > 1 else "1 shard of 64 MB" if n else "all photos"
        memory = size(n * 64e6) if n else ""
        values = [short(one) for mix in (alone, together) for one in (mix.classes, mix.worth)]
        rows.append([name, memory, *values])
    return rows


def days(given: Plan) -> Table:
    """A day of labels, by who merges the log."""
    rows = [["people", "labels a day", "merged by", "most objects", "reading them all", "each entry is written"]]
    few, many = (given.people, given.labels), (10 * given.people, 10 * given.labels)
    for (people, labels), name, page, every in (
        (few, "people, who read it with each page", PAGE, None),
        (many, "people, who read it with each page", PAGE, None),
        (few, "a job each hour; nobody reads", given.labels, given.labels // 8),
        (few, "the night's `freeze`; nobody reads", given.labels, None),
    ):
        day = simulated.day(people=people, labels=labels, page=page, merged_every=every)
        seconds = day.most / CONNECTIONS * FIRST_BYTE_S + plan.loose_read(day.most).lists * LIST_S
        written = simulated.rewritten(labels=30 * labels, merged=labels // max(1, day.merges))
        row = [f"{people:,}", f"{labels:,}", name, short(day.most), time(seconds), f"{short(written)} times"]
        rows.append(row)
    return rows


def projects(given: Plan) -> Table:
    """All photos, divided into projects."""
    freeze, fold, gallery = (measured.STEPS[name] for name in ("freeze again", "fold", "gallery opened"))
    rows = [
        [
            "photos in a project",
            "projects",
            "memory of a freeze",
            "processor of a freeze",
            "of the state",
            "of opening the gallery",
            f"all listed by {given.nodes} nodes",
        ]
    ]
    for n in (given.part, 10 * given.part, given.images):
        count = -(-given.images // n)
        each = plan.pages(n) * LIST_S
        rows.append(
            [
                f"{short(n / 1e6)} M",
                f"{count:,}",
                f"{short(freeze.memory_gb(n))} GB",
                time(freeze.cpu_s(n)),
                time(fold.cpu_s(n)),
                time(gallery.cpu_s(n)),
                time(each * math.ceil(count / given.nodes)),
            ]
        )
    return rows


def limits(given: Plan) -> Table:
    """What ends where."""
    most = measured.STEPS["freeze again"]
    per_photo = most.memory_gb(2e6) - most.memory_gb(1e6)
    slot = 2 * 280 * 280 * 3
    return [
        ["what", "limit"],
        [f"photos whose `freeze` takes {given.memory_gb} GB", f"{short(given.memory_gb / per_photo)} M"],
        [
            "photos whose sha256 fit into one piece of a column of Arrow",
            f"{short(measured.ARROW_BYTES / measured.DIGEST_BYTES / 1e6)} M",
        ],
        [
            "table of all photos in one training process",
            f"{short(measured.STEPS['first batch, 0 workers'].memory_gb(given.images))} GB",
        ],
        ["bytes of all photos", size(given.images * given.image_bytes)],
        ["their price a month", usd(plan.month_usd(given.images * given.image_bytes))],
        ["all decoded at 224 pixels", size(given.images * slot)],
        ["of a node's share of these", size(given.images * slot / given.nodes)],
        ["a frozen dataset", size(given.images * plan.DATASET_ROW)],
    ]


TABLES: dict[str, Callable[[Plan], Table]] = {
    "assumed": assumed,
    "limits": limits,
    "projects": projects,
    "part": part_steps,
    "whole": whole_steps,
    "listing": listings,
    "training": training,
    "shards": shards,
    "mixing": mixings,
    "log": days,
}


def printed(given: Plan, names: Sequence[str] = tuple(TABLES)) -> dict[str, str]:
    """The tables by name, as the page has them."""
    return {name: markdown(TABLES[name](given)) for name in names}
