"""Files of an export, made from a model: the graph in one of the formats, opened in its runtime."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from onlineml.exporting import bundle
from onlineml.exporting.calibration import calibration_inputs
from onlineml.exporting.exported import FORMAT, Described
from onlineml.exporting.graph import onnx_package
from onlineml.exporting.openvino_graph import to_openvino
from onlineml.exporting.quantize import to_int8
from onlineml.inference.runtimes import openvino_package
from onlineml.storage.codec import encode
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.exporting.exported import ExportedModel
    from onlineml.exporting.pieces import ExportPieces
    from onlineml.tasks.base import VisionModule

__all__ = ["Format", "Made", "check_packages", "made"]

Format = Literal["onnx", "onnx-int8", "openvino"]


class Made(NamedTuple):
    """An export that is not stored yet.

    Attributes:
        exported: the model in its runtime.
        files: content of the graph's files, by name, see `onlineml.exporting.bundle.GRAPHS`.
    """

    exported: ExportedModel
    files: dict[str, bytes]


def check_packages(format: Format) -> None:  # noqa: A002 - what every exporter calls it
    """Check that what an export needs is installed.

    Raises:
        MissingDependencyError: a package is missing, or torch is too old.
    """
    onnx_package()
    if format == "openvino":
        openvino_package()


def made(
    model: VisionModule,
    pieces: ExportPieces,
    photos: Manifest,
    reference: str,
    *,
    split: str,
    format: Format,  # noqa: A002
) -> Made:
    """Export a model.

    Args:
        model: the original.
        pieces: of its task.
        photos: of all splits; those for calibration are taken from them.
        reference: where it will be stored.
        split: for which it will be certified.
        format: see `onlineml.export`.
    """
    facts = _facts(model, pieces)
    traced = pieces.graph(model)
    onnx_package().helper.set_model_props(traced, facts)
    content: bytes = traced.SerializeToString()
    if format == "onnx":
        return _opened(model, pieces, (content,), reference, format)
    if format == "openvino":
        outputs = [one.name for one in traced.graph.output]
        named = model.run_config()
        name = named.get("architecture") or named["backbone"]
        files = to_openvino(content, outputs=outputs, facts=facts, name=name)
        return _opened(model, pieces, files, reference, format)
    in_float = _opened(model, pieces, (content,), reference, "onnx").exported
    content = to_int8(content, calibration_inputs(in_float, photos, certified_on=split))
    return _opened(model, pieces, (content,), reference, format)


def _facts(model: VisionModule, pieces: ExportPieces) -> dict[str, str]:
    """Return what a graph's outputs mean, for those who have no other file of the export."""
    facts = {"class_names": list(model.class_names), "size_hw": model.input_size_hw(), "cutoffs": pieces.cutoffs(model)}
    texts = {name: encode(value).decode() for name, value in facts.items()}
    return {**texts, "task": model.task, "fit": model.input_fit}


def _opened(
    model: VisionModule,
    pieces: ExportPieces,
    contents: tuple[bytes, ...],
    reference: str,
    format: Format,  # noqa: A002
) -> Made:
    described = _described(model, pieces, contents, format)
    exported = pieces.exported(described, contents[0], weights=b"".join(contents[1:]), reference=reference)
    return Made(exported, dict(zip(bundle.GRAPHS[format], contents, strict=True)))


def _described(
    model: VisionModule,
    pieces: ExportPieces,
    contents: tuple[bytes, ...],
    format: Format,  # noqa: A002
) -> Described:
    limit: Any = getattr(model, "max_objects", None)
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    return Described(
        format=FORMAT,
        runtime=format,
        task=model.task,
        class_names=tuple(model.class_names),
        size_hw=model.input_size_hw(),
        fit=model.input_fit,
        sha256=hashes[0],
        weights_sha256="".join(hashes[1:]),
        source=storable(model.reference),
        manifest_hash=model.manifest_hash,
        thresholds=None if model.thresholds is None else dict(model.thresholds),
        cutoffs=pieces.cutoffs(model),
        whole=bool(getattr(model, "whole", False)),
        max_objects=limit,
    )
