"""Plan for many photos and many machines: requests to S3 and their price, processor, memory, shards, the log.

    python benchmarks/plan.py [--images N] [--nodes N] [--labels N] [--people N] [--photo-kb N]
    python benchmarks/plan.py --check

``--check`` counts the requests of each step before a server of S3's kind, compares them with the calculator's, and its
processor time and memory with all that `benchmarks/scale.py` measured; it fails where they differ by more than a fifth.
``--write`` renews the tables of docs/storage/scale.md.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time as clock
from dataclasses import fields
from pathlib import Path

import _plan_measured as measured
from _plan_tables import TABLES, Plan, printed

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "storage" / "scale.md"
MARK = re.compile(r"(<!-- plan: (\w+) -->\n\n)(.*?)(\n\n<!-- end -->)", re.DOTALL)
MOST = 0.2  # by which a number may differ from what was measured or counted
N_CHECKED = 2500  # photos whose requests are counted: three pages of a listing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Plan()
    parser.add_argument("--images", type=int, default=usual.images)
    parser.add_argument("--nodes", type=int, default=usual.nodes)
    parser.add_argument("--photo-kb", type=int, default=usual.image_bytes // 1000)
    parser.add_argument("--labels", type=int, default=usual.labels, help="a day")
    parser.add_argument("--people", type=int, default=usual.people, help="who label at the same time")
    parser.add_argument("--classes", type=int, default=usual.classes)
    parser.add_argument("--check", action="store_true", help="compare with what is measured and counted")
    parser.add_argument("--write", action="store_true", help="renew the tables of the page")
    told = parser.parse_args()
    if told.check:
        sys.exit(check())
    if told.write:
        PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), printed(usual)), encoding="utf-8")
        return
    chosen = {one.name: getattr(told, one.name) for one in fields(Plan) if hasattr(told, one.name)}
    for name, table in printed(Plan(**chosen, image_bytes=told.photo_kb * 1000)).items():
        print(f"## {name}: {TABLES[name].__doc__}\n\n{table}\n")


def renewed(page: str, tables: dict[str, str]) -> str:
    """A page with its tables as they are now."""
    return MARK.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[4]}", page)


def check() -> int:
    """Print what is planned beside what was counted or measured; return 1 if they differ too much."""
    wrong = 0
    for name, planned, found in (*counted_requests(), *measured_points()):
        differs = abs(planned - found) > MOST * max(found, 1e-9)
        wrong += differs
        print(f"{name:<44} planned {planned:>12,.6g}   found {found:>12,.6g}{'   WRONG' if differs else ''}")
    print(f"{wrong} differ by more than {MOST:.0%}")
    return int(wrong > 0)


def measured_points() -> list[tuple[str, float, float]]:
    """What the curves say at each measured size, and what was measured."""
    return [
        row
        for name, step in measured.STEPS.items()
        for n, cpu_s, memory_gb in zip(measured.SIZES, step.cpu, step.memory, strict=True)
        for row in (
            (f"{name}, {n:,}: processor s", step.cpu_s(n), cpu_s),
            (f"{name}, {n:,}: memory GB", step.memory_gb(n), memory_gb),
        )
    ]


def counted_requests() -> list[tuple[str, float, float]]:
    """Requests of each step at some thousands of photos, by kind, and the bytes of a row in each kind of table."""
    os.environ["ONLINEML_CACHE_GB"] = "0"  # before anything looks
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    import _plan_counts
    import _plan_requests as plan

    from fault_proxy import fault_proxy_to
    from onlineml.storage import io
    from picture_files import noise, png
    from s3_server import S3Server, _answers, _ended, _free_port

    pictures = [png(noise(number, (8, 8))) for number in range(N_CHECKED + 1)]
    rows = []
    port = _free_port()
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests/support/moto_process.py"), str(port)]
    server = S3Server(f"http://127.0.0.1:{port}")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    with _ended(process), fault_proxy_to(server.endpoint_url) as proxy:
        while not _answers(port):
            clock.sleep(0.1)
        options = {**server.storage_options, "endpoint_url": proxy.url}
        bucket = server.new_bucket()
        for step in _plan_counts.counted(bucket, options, proxy.seen, pictures=pictures, shard_bytes=100_000):
            for kind in ("puts", "gets", "heads", "lists", "deletes"):
                planned, found = getattr(step.planned, kind), getattr(step.counted, kind)
                if planned or found:
                    rows.append((f"{step.name}: {kind}", planned, found))
        for name, row, folder in (
            ("import", plan.IMPORT_ROW, "project/log/imports"),
            ("seen", plan.SEEN_ROW, "project/log/seen"),
            ("dataset", plan.DATASET_ROW, "project/datasets"),
        ):
            n_bytes = sum(one.size for one in io.list_files(f"{bucket}/{folder}", storage_options=options))
            times = 2 if name == "dataset" else 1
            rows.append((f"bytes of a row: {name}", row, n_bytes / (times * N_CHECKED)))
    return rows


if __name__ == "__main__":
    main()
