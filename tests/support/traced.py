"""Graphs of networks that are traced once for all processes of one run of the tests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from once import shared_folder
from onlineml.exporting.graph import to_onnx

if TYPE_CHECKING:
    import pytest

    from onlineml.exporting.graph import Traceable


def traced_once(factory: pytest.TempPathFactory, traceable: Traceable, *, name: str) -> Any:
    import onnx

    state = [(key, value.numpy().tobytes()) for key, value in traceable.module.state_dict().items()]
    with torch.no_grad():  # a temperature is no part of the state
        answers: Any = traceable.module(traceable.example)
    key = hashlib.sha256(repr((state, answers)).encode()).hexdigest()
    with shared_folder(factory, "graphs") as folder:
        if not (folder / key).exists():
            (folder / key).write_bytes(to_onnx(traceable, name=name).SerializeToString())
        return onnx.load_model_from_string((folder / key).read_bytes())
