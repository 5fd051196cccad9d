"""What every race shares: its arguments, its data, its closing line."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any


def arguments(description: str) -> argparse.Namespace:
    """The arguments of a race: --json, --seconds, --seeds, --data."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="also write the result here")
    parser.add_argument("--seconds", type=float, default=None, help="time budget of one measurement")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with so many seeds")
    parser.add_argument("--data", type=Path, default=None, help="a folder of class folders, with split.csv or without")
    return parser.parse_args()


def photos(given: Path | None, scratch: Path) -> Path:
    """The class folders to race on: those given, the shared real photos, or generated ones."""
    root = Path(os.environ.get("ONLINEML_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = given or root / "photos" / "sign_digits"
    if folder.is_dir():
        return folder
    import onlineml as oml

    print(f"{folder} is not there: racing on generated photos", flush=True)
    oml.make_samples(str(scratch / "photos"), n=800)
    return scratch / "photos"


def manifest(folder: Path) -> Any:
    """The folder's usable images, split as its split.csv says where it has one."""
    import onlineml as oml

    split = "split.csv" if (folder / "split.csv").exists() else None
    return oml.Manifest.from_folders(str(folder), split=split).check(max_bad=0.1).manifest


def machine() -> str:
    """The machine in a few words."""
    import torch

    return f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {platform.system()}"


def finish(results: list[dict[str, Any]], path: Path | None) -> None:
    """Print the results as the last line, and write them where asked."""
    line = json.dumps([{**result, "machine": machine()} for result in results])
    if path is not None:
        path.write_text(line + "\n", encoding="utf-8")
    print(line, flush=True)
