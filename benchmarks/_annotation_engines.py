"""One measurement of `annotations.py`, in a process of its own: labels of a million images after a million corrections.

Importing is not measured.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def onlineml(folder: Path) -> int:
    """Everything: conflicts, undoings, classes, deletions."""
    from onlineml.project.project import Project

    state = Project.open(folder / "project").labels.state()
    return int(state.table["label"].to_pandas().eq("corrected").sum())


def duckdb(folder: Path) -> int:
    """The last label of each image, from the same files; nothing else."""
    import duckdb

    log, images = (str(folder / "project" / "log" / name / "*.parquet") for name in ("annotations", "imports"))
    words = f"select image_id, arg_max(label, entry) as label from '{log}' where event = 'corrected' group by all"  # noqa: S608
    both = f"from '{images}' as i left join words as w using (image_id)"
    table = duckdb.sql(f"with words as ({words}) select i.image_id, coalesce(w.label, i.label) as label {both}").arrow()
    rows = table.read_all() if hasattr(table, "read_all") else table
    return int(rows.to_pandas()["label"].eq("corrected").sum())


def pandas(folder: Path) -> int:
    """As duckdb, with pandas."""
    import pandas as pd

    files = (folder / "project" / "log" / "annotations").glob("*.parquet")
    (images,) = (folder / "project" / "log" / "imports").glob("*.parquet")
    words = pd.concat([pd.read_parquet(file, columns=["entry", "event", "image_id", "label"]) for file in files])
    words = words[words["event"] == "corrected"].sort_values("entry").drop_duplicates("image_id", keep="last")
    said = words.set_index("image_id")["label"]
    table = pd.read_parquet(images, columns=["image_id", "label"])
    return int(table["image_id"].map(said).fillna(table["label"]).eq("corrected").sum())


def label_studio(folder: Path) -> int:
    """Label Studio's JSON export, as every importer reads it; the last annotation of each task."""
    with (folder / "export.json").open(encoding="utf-8") as file:
        tasks = json.load(file)
    labels = [task["annotations"][-1]["result"][0]["value"]["choices"][0] for task in tasks]
    return labels.count("corrected")


ENGINES = {"onlineml": onlineml, "duckdb": duckdb, "pandas": pandas, "Label Studio's JSON": label_studio}
IMPORTED = {
    "onlineml": ("onlineml.project", "pandas"),
    "duckdb": ("duckdb", "pyarrow", "pandas"),
    "pandas": ("pandas", "pyarrow.parquet"),
}


def peak_mb() -> float:
    """Of this program alone: unlike getrusage it begins anew when a program is started."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    for module in IMPORTED.get(name, ()):
        importlib.import_module(module)
    start, started = time.perf_counter(), time.process_time()
    found = ENGINES[name](folder)
    result: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - started,
        "peak_mb": peak_mb(),
        "corrected": found,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
