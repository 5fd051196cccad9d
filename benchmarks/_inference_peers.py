"""yolo11n through Ultralytics' own ONNX export, run by the peers' own Python: photos per second, whenever it is asked.

Called with: a folder of images, image size, batch size, threads. A line with seconds is answered by a line with a rate.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["YOLO_OFFLINE"] = "true"  # it would ask for updates, fonts and weights
os.environ["YOLO_AUTOINSTALL"] = "false"


def main() -> None:
    images, size, batch, threads = sys.argv[1:]
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(int(threads))
    files = [str(path) for path in sorted(Path(images).iterdir())]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        network = YOLO("yolo11n.yaml")
        path = network.export(format="onnx", imgsz=int(size), batch=int(batch), device="cpu", verbose=False)
        model = YOLO(path, task="detect")
        groups = [files[i : i + int(batch)] for i in range(0, len(files) - int(batch) + 1, int(batch))]
        options = {"imgsz": int(size), "device": "cpu", "verbose": False}
        model.predict(groups[0], **options)
        print("ready", flush=True)
        at = 0
        for line in sys.stdin:
            n, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < float(line):
                n += len(model.predict(groups[at % len(groups)], **options))
                at += 1
            print(n / (time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main()
