# /// script
# dependencies = ["ultralytics>=8.3", "torch", "torchvision", "opencv-python-headless"]
# ///
"""Race: a detector from scratch within a budget, on one core, against Ultralytics' yolo11n.

Blood cells (BCCD) at 320 px unless --data names another folder in Pascal VOC's layout. Both sides learn from the train
split, may look at val, and are scored by the same evaluator on test. Ultralytics runs at its defaults, and with mosaic
off and a short warm-up, which suits few images better. Sides take turns, seed by seed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _race import arguments, finish

SIZE = 320
SECONDS = 480.0
AIMS = {"map_50": 0.86, "map_50_95": 0.53}
PEERS = ("defaults", "tuned")


def one_core() -> None:
    """This process, and those that it starts, keep to one core."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def dataset(given: Path | None) -> Any:
    """The usable images and boxes of a folder in Pascal VOC's layout; generated ones where there is none."""
    import onlineml as oml

    root = Path(os.environ.get("ONLINEML_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = given or root / "detection" / "bccd"
    if folder.is_dir():
        return oml.Manifest.from_voc(str(folder)).check(max_bad=0.1).manifest
    print(f"{folder} is not there: racing on generated photos", flush=True)
    samples = oml.make_samples(tempfile.mkdtemp() + "/photos", task="detection")
    return oml.Manifest.from_coco(f"{samples}/annotations.json").check(max_bad=0.1).manifest


def ours(data: Any, seconds: float, seed: int) -> dict[str, float]:
    import onlineml as oml

    dm = oml.DetectionDataModule(data, size_hw=(SIZE, SIZE), seed=seed)
    model = oml.ObjectDetector(class_names=data.class_names, weights=None, seed=seed)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as run:
        oml.fit(model, dm, run=f"{run}/run", budget_s=seconds, progress="none")
    spent = time.perf_counter() - begin
    scores = oml.evaluate(model, data, split="test", n_bootstrap=2)
    found = {name: scores.score(name) for name in AIMS}
    print(f"ours, seed {seed}: {found} after {spent:.1f} s", flush=True)
    return found


def theirs(data: Any, seconds: float, seed: int, how: str) -> dict[str, float] | None:
    python = os.environ.get("ONLINEML_PEERS_PYTHON")
    if python is None:
        print("no ONLINEML_PEERS_PYTHON: run through nox -s benchmarks to race the peer too", flush=True)
        return None
    with tempfile.TemporaryDirectory() as folder:
        data.to_yolo(f"{folder}/data")
        output = Path(folder) / "found.json"
        command = [python, str(Path(__file__).parent / "_detector_peers.py"), f"{folder}/data/data.yaml"]
        command += [f"{folder}/data/images/test", str(SIZE), str(seconds), str(seed), how, str(output)]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            print(f"ultralytics ({how}) failed: {done.stderr[-3000:]}", flush=True)
            return None
        found = scored(data.select(split="test"), json.loads(output.read_text(encoding="utf-8")))
    print(f"ultralytics {how}, seed {seed}: {found} after {time.perf_counter() - begin:.1f} s", flush=True)
    return found


def scored(test: Any, found: dict[str, Any]) -> dict[str, float]:
    """The scores of detections by image name, by the same evaluator."""
    from onlineml.evaluation import Detections, detection_scores

    index, boxes, labels, scores = [], [np.zeros((0, 4))], [], []
    for place, uri in enumerate(test.column("uri")):
        own_boxes, own_labels, own_scores = found[Path(uri).stem]
        index += [place] * len(own_labels)
        boxes.append(np.array(own_boxes, dtype=np.float64).reshape(-1, 4))
        labels += [test.class_names.index(label) for label in own_labels]
        scores += own_scores
    detections = Detections(np.array(index), np.concatenate(boxes), np.array(labels), np.array(scores), len(test))
    result = detection_scores(test.boxes(), detections, test.class_names, n_bootstrap=2)
    return {name: result.score(name) for name in AIMS}


def main() -> None:
    given = arguments(__doc__ or "")
    one_core()
    data = dataset(given.data)
    seconds = given.seconds or SECONDS
    rounds: dict[str, list[dict[str, float]]] = {"ours": [], **{f"yolo11n {how}": [] for how in PEERS}}
    for seed in range(given.seeds):
        rounds["ours"].append(ours(data, seconds, seed))
        for how in PEERS:
            if (scores := theirs(data, seconds, seed, how)) is not None:
                rounds[f"yolo11n {how}"].append(scores)
    results = []
    for name, aim in AIMS.items():
        mean = {side: statistics.mean(s[name] for s in found) for side, found in rounds.items() if found}
        own = mean.pop("ours")
        ratio = own / max(mean.values()) if mean else float("nan")
        results.append({"race": f"test {name} from scratch, {SIZE} px, one core, {seconds:g} s", "ours": own,
                        "peers": mean, "ratio": ratio, "aim": aim, "holds": own >= aim})  # fmt: skip
    finish(results, given.json)


if __name__ == "__main__":
    main()
