"""Training, predicting and evaluating on a Ray cluster, and background runs there; needs the extra ``ray``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.ray.evaluating import evaluate as evaluate
    from onlineml.ray.jobs import RayJobs as RayJobs
    from onlineml.ray.predicting import predict as predict
    from onlineml.ray.spread import RayWorkers as RayWorkers
    from onlineml.ray.train import RayTrain as RayTrain

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "RayJobs": "jobs",
        "RayTrain": "train",
        "RayWorkers": "spread",
        "evaluate": "evaluating",
        "predict": "predicting",
    },
)
