"""Open the graph of a folder in ONNX Runtime, or in OpenVINO, whichever its files are for."""

from pathlib import Path
from typing import Any


def opened(folder: Path) -> Any:
    """Return a function from pixels to the graph's outputs: in ONNX Runtime, or in OpenVINO for files of that."""
    if (folder / "model.xml").exists():
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}  # else it computes in 16 bits where the processor can
        model = openvino.Core().compile_model(str(folder / "model.xml"), "CPU", exact)
        return lambda image: list(model(image).values())
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})
