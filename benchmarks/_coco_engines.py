"""One evaluation by one engine in a process of its own: prints its seconds, peak memory and twelve numbers.

Run as ``python _coco_engines.py ENGINE SOURCE FOLDER``; SOURCE: ``dicts``, loaded before the clock runs, or ``files``.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def ours(truth: Any, found: Any) -> Any:
    from onlineml.evaluation import coco_scores

    return lambda: coco_scores(truth, found).stats


def pycocotools(truth: Any, found: Any) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def documents() -> tuple[Any, Any]:
        if isinstance(truth, str):
            return COCO(truth), found
        index = COCO()
        index.dataset = truth
        index.createIndex()
        return index, found

    def evaluate() -> Any:
        index, rows = documents()
        return summary(COCOeval(index, index.loadRes(rows), "bbox"))

    return evaluate


def faster_coco_eval(truth: Any, found: Any) -> Any:
    from faster_coco_eval import COCO, COCOeval_faster

    def evaluate() -> Any:
        index = COCO(truth)
        return summary(COCOeval_faster(index, index.loadRes(found), iouType="bbox"))

    return evaluate


def hotcoco(truth: Any, found: Any) -> Any:
    from hotcoco import COCO, COCOeval

    def evaluate() -> Any:
        index = COCO(truth)
        return summary(COCOeval(index, index.load_res(found), "bbox"))

    return evaluate


def summary(evaluation: Any) -> Any:
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats


ENGINES = {"onlineml": ours, "pycocotools": pycocotools, "faster-coco-eval": faster_coco_eval, "hotcoco": hotcoco}


def main() -> None:
    engine, source, folder = sys.argv[1:]
    paths = [str(Path(folder) / name) for name in ("truth.json", "found.json")]
    given = paths if source == "files" else [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
    evaluate = ENGINES[engine](*given)
    with contextlib.redirect_stdout(io.StringIO()):
        begin = time.perf_counter()
        stats = evaluate()
        seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of kibibytes, on Linux
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "stats": [float(v) for v in stats]}))


if __name__ == "__main__":
    main()
