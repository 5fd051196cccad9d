"""Ultralytics' training on a data.yaml, run by the peers' own Python: prints the path of its detections as JSON.

Called with: data.yaml, a folder of images to detect in, image size, seconds, seed, "defaults" or "tuned", output path.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["YOLO_OFFLINE"] = "true"  # it would ask for updates, fonts and weights
os.environ["YOLO_AUTOINSTALL"] = "false"

TUNED = {"mosaic": 0.0, "warmup_epochs": 1.0}  # what helps it with so few images in so little time


def main() -> None:
    data, images, size, seconds, seed, how, output = sys.argv[1:]
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(1)
    options: dict[str, Any] = TUNED if how == "tuned" else {}
    model = YOLO("yolo11n.yaml")
    folder = Path(output).parent / how
    model.train(
        data=data, imgsz=int(size), time=float(seconds) / 3600, seed=int(seed), device="cpu", workers=0, amp=False,
        pretrained=False, project=str(folder), name="run", exist_ok=True, plots=False, verbose=False, cache="ram",
        **options,
    )  # fmt: skip
    found = {}
    for path in sorted(Path(images).iterdir()):
        # no cut before average precision; as many boxes as COCO counts
        (result,) = model.predict(str(path), imgsz=int(size), conf=0.001, max_det=300, device="cpu", verbose=False)
        boxes = result.boxes
        found[path.stem] = [
            boxes.xyxy.tolist(), [result.names[int(c)] for c in boxes.cls.tolist()], boxes.conf.tolist()
        ]  # fmt: skip
    Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
