"""Predict with the model beside this file: `python predict.py PHOTO ...` prints a line of JSON for each photo.

Needs numpy, Pillow, and onnxruntime or openvino. A photo that cannot be used has an "error".
"""

import json
import sys
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from photos import covering, read, resized, stretched  # beside this file, too
from runtime import opened

CURRENT = Path(__file__).resolve().parent / "current.txt"  # update.py writes the folder of the newest model into it
FOLDER = CURRENT.parent / (CURRENT.read_text("utf-8") if CURRENT.exists() else "")


def inside(path: str, size_hw: list[int]) -> tuple[Any, float, tuple[int, int]]:
    """Scale a photo to fit inside, on grey; also return new pixels per pixel of the photo, and the photo's size."""
    larger = [ceil(1.25 * side) for side in size_hw]
    pixels, full_hw = read(path, min(larger))
    before = 1 / max(1, round(max(full_hw) / max(pixels.shape)))
    kept, scale = (min(want / have for want, have in zip(most, full_hw)) for most in (larger, size_hw))
    for most, factor in ((larger, min(1.0, min(1.0, kept) / before)), (size_hw, scale / min(1.0, kept))):
        size = [max(1, round(side * factor)) for side in pixels.shape[:2]]
        pixels = resized(pixels, size, mean=factor < 1, step=1 / factor)[: most[0], : most[1]]
    padded = np.full((*(ceil(side / 32) * 32 for side in pixels.shape[:2]), 3), 114, np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded, scale, full_hw


def filling(path: str, size_hw: list[int], *, whole: bool) -> Any:
    """Scale a photo to the size: stretched as a whole, or cut evenly."""
    least = round(1.25 * max(size_hw))
    pixels, _ = read(path, least)
    if whole:
        share = min(1.25, max(have / want for have, want in zip(pixels.shape, size_hw)))
        return covering(stretched(pixels, [max(1, round(share * side)) for side in size_hw]), size_hw)
    short = min(pixels.shape[:2])
    pixels = covering(pixels, [min(side, 2 * short) for side in pixels.shape[:2]])
    if least < short:
        pixels = stretched(pixels, [max(least, round(side * (least / short))) for side in pixels.shape[:2]])
    return covering(pixels, size_hw)


def predict(run: Any, about: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the answer for one photo; boxes are in pixels of the upright photo."""
    names, scale, size_hw = about["class_names"], 1.0, (0, 0)
    least = np.array([(about["cutoffs"] or {}).get(name, 0.0) for name in names])
    if "inside" in about["fit"]:
        image, scale, size_hw = inside(path, about["size_hw"])
    else:
        image = filling(path, about["size_hw"], whole="stretch" in about["fit"])
    found = [values[0] for values in run(image[None])]
    if not all(np.isfinite(values).all() for values in found):
        raise ValueError("the model's answers are not finite numbers")
    if len(found) == 1:
        best = np.argsort(-found[0], kind="stable").tolist()
        top = [{"label": names[i], "score": float(found[0][i])} for i in best]
        if about["cutoffs"] is None:
            return {**top[0], "top": top[:5]}
        return {"labels": [one for i, one in zip(best, top) if found[0][i] >= least[i]], "top": top}
    boxes, labels, scores, count = found
    boxes = np.clip(boxes.astype(float) / scale, 0, [size_hw[1], size_hw[0]] * 2)
    sure = [i for i in range(count) if scores[i] >= least[labels[i]] and (boxes[i, 2:] > boxes[i, :2]).all()]
    objects = [{"label": names[labels[i]], "score": float(scores[i]), "box": boxes[i].tolist()} for i in sure]
    return {"objects": objects, "width": size_hw[1], "height": size_hw[0]}


if __name__ == "__main__":
    about = json.loads((FOLDER / "export.json").read_text("utf-8"))
    run = opened(FOLDER)
    for path in sys.argv[1:] or sys.exit("usage: python predict.py PHOTO ..."):
        try:
            answer = predict(run, about, path)
        except Exception as error:  # Pillow's decoders raise almost any
            answer = {"error": f"{error or type(error).__name__}"}
        print(json.dumps({"photo": path, **answer}), flush=True)
