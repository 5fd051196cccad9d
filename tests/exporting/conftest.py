"""What the tests of exports share."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import Any

import pytest

from knowing import known, labelled
from once import shared_folder
from onlineml.exporting import costs, pieces
from onlineml.exporting.graph import Traceable, to_onnx
from tiny import decoded_photos, manifest, photos
from tiny_boxes import trained

__all__ = ["decoded_photos", "known", "labelled", "manifest", "photos", "trained"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Measure speed by one run instead of for seconds, no memory, and trace each network once for all processes."""
    monkeypatch.setattr(costs, "_MOST_S", 0.0)
    monkeypatch.setattr(costs, "_LEAST_RUNS", 1)
    monkeypatch.setattr(costs, "measured_memory", lambda *_: (math.nan, math.nan))
    monkeypatch.setattr(pieces, "to_onnx", partial(traced_once, tmp_path_factory))


def traced_once(factory: pytest.TempPathFactory, traceable: Traceable, *, name: str) -> Any:
    import onnx

    state = [(key, value.numpy().tobytes()) for key, value in traceable.module.state_dict().items()]
    key = hashlib.sha256(repr(state).encode()).hexdigest()
    with shared_folder(factory, "graphs") as folder:
        if not (folder / key).exists():
            (folder / key).write_bytes(to_onnx(traceable, name=name).SerializeToString())
        return onnx.load_model_from_string((folder / key).read_bytes())
