"""`export`: a trained model as a file for another runtime, published with a certificate or not at all."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast, get_args

from onlineml.arguments.checks import instance, one_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import AlreadyExistsError, ConfigError, ExportError, StorageError, WeightsError
from onlineml.evaluation.comparison.compare import compare
from onlineml.evaluation.render.card import model_card
from onlineml.exporting import bundle
from onlineml.exporting.calibration import calibrate_export
from onlineml.exporting.certificate import Certificate, Tolerance, certified
from onlineml.exporting.costs import measured_costs
from onlineml.exporting.exported import Described
from onlineml.exporting.making import Format, check_packages, made
from onlineml.inference.evaluate import evaluate
from onlineml.project.project import Project
from onlineml.registry.versions import EXPORT, ModelVersion, resolve
from onlineml.storage.codec import encode
from onlineml.storage.documents import decoded
from onlineml.storage.location import Location, Options, Url
from onlineml.tasks import task_of
from onlineml.tasks.loading import load_model

if TYPE_CHECKING:
    from onlineml.exporting.exported import ExportedModel
    from onlineml.exporting.making import Made
    from onlineml.exporting.pieces import ExportPieces
    from onlineml.tasks.base import VisionModule

__all__ = ["Export", "export", "load_export"]

# in integers, blood cells whose scores are near a threshold fall on its other side: 94 % of the answers are equal where
# the mAP falls by a quarter of a point
_TOLERANCES = {"onnx": Tolerance(), "onnx-int8": Tolerance(equal=0.9), "openvino": Tolerance()}
_RUNTIMES = {"onnx": "onnxruntime", "onnx-int8": "onnxruntime", "openvino": "openvino"}
_RUN = """
## Running it

`python predict.py PHOTO ...` prints a line of JSON for each photo. It needs numpy, {runtime} and Pillow, and
`photos.py` and `runtime.py`. `python update.py URL` fetches the newest model that was released. `certificate.html` says
how this model answers beside the original.
"""
_PACKAGES = ("onlineml", "torch", "onnx", "onnxscript")


@dataclass(frozen=True, eq=False)
class Export:
    """An exported model.

    Attributes:
        location: its folder or zip, with the graph (``model.onnx``, or ``model.xml`` and ``model.bin``),
            ``export.json``, ``certificate.json``, ``certificate.html``, ``README.md`` (the model card), and the
            programs ``predict.py``, ``photos.py``, ``runtime.py`` and ``update.py``
        certificate: what is known of its answers.
    """

    location: Location
    certificate: Certificate

    @property
    def url(self) -> str:
        """Its folder or zip."""
        return self.location.url

    def load(self) -> ExportedModel:
        """Open it, see `load_export`."""
        return load_export(self.location)

    def __str__(self) -> str:
        return f"{self.location}: {self.certificate}"


def export(
    model: VisionModule | ModelVersion | Url,
    url: Url | None = None,
    *,
    data: Manifest | None = None,
    split: str = "test",
    format: Format = "onnx",  # noqa: A002 - what every exporter calls it
    tolerance: Tolerance | None = None,
    storage_options: Options = None,
) -> Export:
    """Export a model to a runtime without torch, and check on labelled photos that its answers are still the same.

    The graph takes ``image``, (batch, height, width, 3) uint8 RGB, and ends in answers: of a classifier
    ``probabilities`` (batch, C) float32; of a detector ``boxes`` (batch, M, 4) x1, y1, x2, y2 in pixels of ``image``,
    ``labels`` (batch, M) int64, ``scores`` (batch, M) and ``count`` (batch,), the number of objects, the surest first.
    Normalisation, decoding of boxes and non-maximum suppression are within it. A photo is brought to the size of the
    input before, as the ``fit`` of ``export.json`` says.

    Args:
        model: a trained model, a published version, or an argument of `onlineml.load_model`.
        url: a new folder, or a file whose name ends in ``.zip``; None for ``exports/<format>`` below the published
            version.
        data: labelled photos for the certificate; None for the dataset that a project's version was trained on.
        split: of them; photos that the model was trained on prove nothing.
        format: ``"onnx"``, in 32-bit floats; ``"openvino"``, the same graph as ``model.xml`` and ``model.bin``, for
            OpenVINO; or ``"onnx-int8"``, whose weights and activations are 8-bit integers, calibrated on up to 200
            photos of another split: val, or else train. It is a quarter of the size; how much faster it is, the
            certificate says.
        tolerance: what the export may lose; None for `Tolerance`'s defaults, in integers for ``equal=0.9``.
        storage_options: of the filesystem, for model and url.

    Returns:
        The export with its certificate.

    Raises:
        ExportError: the exported model answers otherwise; nothing is written.
        ConfigError: the network cannot be exported, or an argument is missing.
        AlreadyExistsError: the folder contains an export.
        MissingDependencyError: a package is missing.
    """
    one_of("format", format, get_args(Format))
    one_of("split", split, SPLITS)
    tolerance = _TOLERANCES[format] if tolerance is None else tolerance
    instance("tolerance", tolerance, Tolerance, "a Tolerance, such as Tolerance(equal=0.95)")
    check_packages(format)
    opened, home = _opened(model, storage_options)
    folder = _folder(home, url, format, storage_options)
    if bundle.exists(folder):
        raise AlreadyExistsError(f"{folder} contains an export already; give another url=")
    photos = _photos(home, opened.manifest_hash, data)
    pieces: ExportPieces = task_of(opened).load("export")()
    found = made(opened, pieces, photos, str(folder), split=split, format=format)
    certificate, scores = _certificate(opened, found, pieces, photos, split=split, tolerance=tolerance)
    _refuse_faults(certificate)
    calibrate_export(found.exported, opened, photos)
    files = {**found.files, EXPORT: encode(found.exported.described, indent=1)}
    bundle.publish(folder, {**files, **_papers(opened, certificate, scores)})
    return Export(folder, certificate)


def _refuse_faults(certificate: Certificate) -> None:
    if found := certificate.faults():
        raise ExportError(
            f"the exported model does not answer as the original: {'; '.join(found)}; nothing was written. "
            "Give tolerance=Tolerance(...) if this is good enough"
        )


def _certificate(
    model: VisionModule, export: Made, pieces: ExportPieces, photos: Manifest, *, split: str, tolerance: Tolerance
) -> tuple[Certificate, Any]:
    """Score both models on the same photos; also return the scores of the export."""
    exported = export.exported
    before, after = evaluate(model, photos, split=split), evaluate(cast("Any", exported), photos, split=split)
    certificate = certified(
        compare(before, after),
        pieces.agreement(before, after),
        described=exported.described,
        tolerance=tolerance,
        costs=measured_costs(model, exported, export.files),
        packages={name: version(name) for name in (*_PACKAGES, _RUNTIMES[exported.described.runtime])},
    )
    return certificate, after


def _papers(model: VisionModule, certificate: Certificate, scores: Any) -> dict[str, bytes]:
    """Return what people read: the certificate, and the model card of the export's own scores."""
    facts = {
        **model.descriptor(),
        "class_names": list(model.class_names),
        "preprocessing": model.input_fit,
        "manifest_hash": model.manifest_hash,
        **model.origin.record(),
    }
    return {
        bundle.CERTIFICATE: encode(certificate.to_dict(), indent=1),
        "certificate.html": certificate.to_html().encode(),
        "README.md": (model_card(facts, scores) + _RUN.format(runtime=_RUNTIMES[certificate.format])).encode(),
    }


def load_export(url: Url, *, storage_options: Options = None) -> ExportedModel:
    """Open an exported model, for `onlineml.predict` and `onlineml.evaluate`; it runs in its runtime, on the CPU.

    Args:
        url: the folder or zip that `export` wrote.
        storage_options: of the filesystem.

    Raises:
        NotFoundError: there is no export.
        StorageError: its description is damaged.
        WeightsError: the graph is damaged.
        MissingDependencyError: ONNX Runtime, or OpenVINO for an export in its format, is not installed.
    """
    folder = Location.of(url, storage_options).folder
    read = bundle.reader(folder)
    described = decoded(read((EXPORT,))[EXPORT], Described, folder / EXPORT)
    if described.runtime not in bundle.GRAPHS:
        raise StorageError(
            f"{folder / EXPORT} has the format {described.runtime!r}: expected one of {', '.join(bundle.GRAPHS)}; "
            "install the onlineml that wrote it, or export the model again"
        )
    contents = read(bundle.GRAPHS[described.runtime])
    for (name, content), wanted in zip(contents.items(), (described.sha256, described.weights_sha256), strict=False):
        if hashlib.sha256(content).hexdigest() != wanted:
            raise WeightsError(f"{folder / name} is damaged: its checksum is not that of {EXPORT}; export it again")
    graph, *weights = contents.values()
    pieces: type[ExportPieces] = task_of(described.task).load("export")
    return pieces.exported(described, graph, weights=b"".join(weights), reference=str(folder))


def _opened(model: Any, options: Options) -> tuple[VisionModule, Location | None]:
    """Return a model and the folder that it was published in; None if it was not."""
    if isinstance(model, ModelVersion):
        return load_model(model), model.location
    if isinstance(model, str | os.PathLike | Location):
        found = resolve(Location.of(model, options))
        return load_model(found), found.location
    return model, Location.of(model.reference, options) if model.reference else None


def _folder(home: Location | None, url: Url | None, format: str, options: Options) -> Location:  # noqa: A002
    if url is not None:
        return Location.of(url, options).folder
    if home is None:
        raise ConfigError("url=None: expected a folder, since the model was never published; give url=")
    return home.folder / "exports" / format


def _photos(home: Location | None, manifest_hash: str, data: Manifest | None) -> Manifest:
    """Return the labelled photos for the certificate."""
    if data is not None:
        instance("data", data, Manifest, "a Manifest, such as that of Manifest.from_any(folder)")
        return data
    if home is None or home.folder.parent.name != "models" or not manifest_hash:
        raise ConfigError(
            "data=None: expected labelled photos on which the export is checked, since the model is not a version of a "
            "project that froze its dataset; give data="
        )
    project = home.folder.parent.parent
    return Project.open(project.url, storage_options=project.options).datasets.get(manifest_hash)
