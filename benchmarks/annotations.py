# /// script
# dependencies = ["duckdb>=1.4", "pandas>=2.2.2", "pyarrow>=17"]
# ///
"""Race: the labels of 1,000,000 images after 1,000,000 corrections, from a compacted log on a local disk.

Ours reads everything and finds conflicts, undoings and deletions; duckdb and pandas take the last label of each image
from the same Parquet files; Label Studio's JSON export of the same is parsed and the last annotation of each task
taken.
Each measurement runs in a process of its own, imports included; the rounds alternate; the median counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
from _race import arguments, finish

from onlineml.data.annotations.state import record
from onlineml.data.manifest.manifest import Manifest
from onlineml.project.project import Project
from onlineml.storage.log.log import AppendLog

N, BATCH, ROUNDS = 1_000_000, 50_000, 3
MAX_S, MAX_MB = 5.0, 1500.0
PEERS = ("duckdb", "pandas", "Label Studio's JSON")


def write(folder: Path) -> None:
    """A project with a million images, each corrected once, and the same as an export of Label Studio."""
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(N)]
    labels = [f"class {number % 50}" for number in range(N)]
    uris = [f"s3://lab/photos/{number}.jpg" for number in range(N)]
    names = [*(f"class {number}" for number in range(50)), "corrected"]
    project = Project.create(folder / "project", class_names=names)
    project.add(Manifest(pa.table({"image_id": ids, "uri": uris, "label": labels}), names), author="ann")
    log = AppendLog(str(folder / "project" / "log" / "annotations"))
    base = log.read()[-1].id
    for start in range(0, N, BATCH):
        facts = ({"image_id": one, "label": "corrected", "base": base} for one in ids[start : start + BATCH])
        log.append_many(record("corrected", author="ann", facts=said) for said in facts)
    while log.compact():
        pass
    print(f"the log has {log.n_loose} objects", flush=True)
    with (folder / "export.json").open("w", encoding="utf-8") as file:
        file.write("[")
        for number, (image_id, uri) in enumerate(zip(ids, uris, strict=True)):
            value = {"value": {"choices": ["corrected"]}, "from_name": "label", "to_name": "image", "type": "choices"}
            person = {
                "completed_by": 1,
                "result": [{**value, "id": image_id[:10]}],
                "created_at": "2026-11-25T22:00:00Z",
            }
            task = {"id": number, "data": {"image": uri}, "annotations": [{"id": number, **person}], "predictions": []}
            file.write(("," if number else "") + json.dumps(task))
        file.write("]")


def run(engine: str, folder: Path) -> dict[str, Any] | None:
    """One measurement; None where the engine is not installed or fails."""
    python = sys.executable if engine == "onlineml" else os.environ.get("ONLINEML_PEERS_PYTHON", sys.executable)
    command = [python, str(Path(__file__).parent / "_annotation_engines.py"), engine, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{engine} failed: {done.stderr[-500:]}", flush=True)
        return None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert result["corrected"] == N, f"{engine} found {result['corrected']} corrections"  # noqa: S101
    return result


def race(folder: Path) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("onlineml", *PEERS)}
    for _ in range(ROUNDS):
        for name, results in found.items():
            result = run(name, folder)
            print(name, result, flush=True)
            results.extend([result] if result else [])
    seconds = {name: statistics.median(r["seconds"] for r in results) for name, results in found.items() if results}
    memory = {name: statistics.median(r["peak_mb"] for r in results) for name, results in found.items() if results}
    own_s, own_mb = seconds.pop("onlineml"), memory.pop("onlineml")
    export = PEERS[-1]
    ratio = own_s / seconds[export]
    return [
        {"race": "labels of 1,000,000 images after 1,000,000 corrections, s", "ours": own_s, "peers": seconds,
         "ratio": ratio, "aim": 1.0, "holds": ratio <= 1.0 and own_s <= MAX_S},
        {"race": "the same, peak MB", "ours": own_mb, "peers": memory, "ratio": own_mb / memory[export],
         "aim": 1.0, "holds": own_mb <= min(MAX_MB, memory[export])},
    ]  # fmt: skip


def main() -> None:
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch))
        results = race(Path(scratch))
    finish(results, given.json)


if __name__ == "__main__":
    main()
