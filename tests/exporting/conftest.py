"""What the tests of exports share."""

from __future__ import annotations

import math
from functools import partial

import pytest

from knowing import known, labelled
from onlineml.exporting import costs, pieces
from tiny import decoded_photos, manifest, photos
from tiny_boxes import trained
from traced import traced_once

__all__ = ["decoded_photos", "known", "labelled", "manifest", "photos", "trained"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Measure speed by one run instead of for seconds, no memory, and trace each network once for all processes."""
    monkeypatch.setattr(costs, "_MOST_S", 0.0)
    monkeypatch.setattr(costs, "_LEAST_RUNS", 1)
    monkeypatch.setattr(costs, "measured_memory", lambda *_: (math.nan, math.nan))
    monkeypatch.setattr(pieces, "to_onnx", partial(traced_once, tmp_path_factory))
