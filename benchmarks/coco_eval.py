# /// script
# dependencies = ["faster-coco-eval>=1.8", "hotcoco>=1.3", "pycocotools>=2.0.11"]
# ///
"""Race: COCO evaluation of 5,000 images x 80 classes x 100 detections, against hotcoco, faster-coco-eval, pycocotools.

From the same dicts and from the same files, the checking of the input included. Each evaluation runs in a process of
its own, so that its peak memory is its own; the rounds alternate; the median counts. All must agree with pycocotools.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _race import arguments, finish

N_IMAGES, N_CLASSES, N_DETECTIONS = 5_000, 80, 100
ROUNDS = 5
RIVALS = ("hotcoco", "faster-coco-eval")
REFERENCE = "pycocotools"  # once a source: it takes the most of a minute


def boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 4) x, y, width, height in 640 x 480, from 8 pixels to half the picture."""
    wh = np.exp(rng.uniform(np.log(8), np.log(300), (n, 2)))
    return np.concatenate([rng.uniform(0, 1, (n, 2)) * (np.array([640, 480]) - wh).clip(1), wh], axis=1)


def image_rows(rng: np.random.Generator, image: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """One image's objects (about 7, as in COCO) and its 100 detections: three near each object, the rest anywhere."""
    n = int(rng.poisson(7.3))
    true, classes, crowd = boxes(rng, n), rng.integers(1, N_CLASSES + 1, n), rng.random(n) < 0.01
    truth = [
        {"image_id": image, "category_id": int(c), "bbox": box, "area": box[2] * box[3] * 0.7, "iscrowd": int(many),
         "segmentation": []}
        for c, box, many in zip(classes, true.round(2).tolist(), crowd, strict=True)
    ]  # fmt: skip
    near = np.repeat(np.arange(n), 3)[:N_DETECTIONS]
    n_far = N_DETECTIONS - len(near)
    spread = true[near][:, [2, 3, 2, 3]] * rng.normal(0, 0.07, (len(near), 4))
    found_boxes = np.concatenate([true[near] + spread, boxes(rng, n_far)]).round(2)
    found_classes = np.concatenate([classes[near], rng.integers(1, N_CLASSES + 1, n_far)])
    scores = np.concatenate([rng.beta(3, 2, len(near)), rng.beta(1, 4, n_far)]).round(5)
    columns = (found_classes.tolist(), found_boxes.tolist(), scores.tolist())
    found = [{"image_id": image, "category_id": c, "bbox": box, "score": s} for c, box, s in zip(*columns, strict=True)]
    return truth, found


def write_documents(folder: Path) -> None:
    rng = np.random.default_rng(0)
    truth, found = [], []
    for image in range(1, N_IMAGES + 1):
        objects, detections = image_rows(rng, image)
        truth += objects
        found += detections
    document = {
        "images": [{"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in range(1, N_IMAGES + 1)],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, N_CLASSES + 1)],
        "annotations": [{"id": i, **row} for i, row in enumerate(truth, start=1)],
    }
    (folder / "truth.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


def run(engine: str, source: str, folder: Path) -> dict[str, Any] | None:
    """One evaluation; None where the engine is not installed or fails."""
    python = sys.executable if engine == "onlineml" else os.environ.get("ONLINEML_PEERS_PYTHON", sys.executable)
    command = [python, str(Path(__file__).parent / "_coco_engines.py"), engine, source, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{engine} failed: {done.stderr[-500:]}", flush=True)
        return None
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"from {source}, {engine}: {result['seconds']:.2f} s, {result['peak_mb']:.0f} MB", flush=True)
    return result


def race(source: str, folder: Path) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("onlineml", *RIVALS, REFERENCE)}
    for turn in range(ROUNDS):
        for name, results in found.items():
            if (name != REFERENCE or turn == 0) and (result := run(name, source, folder)) is not None:
                results.append(result)
    for name, results in found.items():
        for result in results if found[REFERENCE] else []:
            gap = np.abs(np.subtract(result["stats"], found[REFERENCE][0]["stats"])).max()
            if gap > 1e-12:
                print(f"{name} differs from {REFERENCE} by {gap:.1e}", flush=True)
    seconds = {name: statistics.median(r["seconds"] for r in results) for name, results in found.items() if results}
    memory = {name: statistics.median(r["peak_mb"] for r in results) for name, results in found.items() if results}
    return lines(source, seconds, memory)


def lines(source: str, seconds: dict[str, float], memory: dict[str, float]) -> list[dict[str, Any]]:
    aim = {"dicts": 1.5, "files": 2}[source]
    own_s, own_mb = seconds.pop("onlineml"), memory.pop("onlineml")
    rivals = [name for name in RIVALS if name in seconds]
    results = []
    if rivals:
        best = min(rivals, key=lambda name: seconds[name])
        ratio, extra = own_s / seconds[best], own_mb - memory[best]
        results += [
            {"race": f"COCO evaluation from {source}, s", "ours": own_s, "peers": seconds, "ratio": ratio, "aim": aim,
             "holds": ratio <= aim},
            {"race": f"COCO evaluation from {source}, peak MB above {best}", "ours": own_mb, "peers": memory,
             "ratio": extra, "aim": 300, "holds": extra <= 300},
        ]  # fmt: skip
    if REFERENCE in seconds:
        gain = seconds[REFERENCE] / own_s
        results.append(
            {"race": f"COCO evaluation from {source}, times as fast as {REFERENCE}", "ours": own_s,
             "peers": {REFERENCE: seconds[REFERENCE]}, "ratio": gain, "aim": 20, "holds": gain >= 20}
        )  # fmt: skip
    return results


def main() -> None:
    given = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as scratch:
        write_documents(Path(scratch))
        results = [result for source in ("dicts", "files") for result in race(source, Path(scratch))]
    finish(results, given.json)


if __name__ == "__main__":
    main()
