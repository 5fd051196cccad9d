"""``onlineml export`` and ``onlineml release``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

__all__ = ["add_export"]


def add_export(commands: Any) -> None:
    """Add both commands to argparse's subparsers."""
    export = commands.add_parser(
        "export",
        help="write a model as a graph for ONNX Runtime or OpenVINO, with a certificate that it answers as before",
        epilog="Exit code: 1 if it answers otherwise, in which case nothing is written.",
    )
    export.add_argument("model", help="path or URL of a model, such as s3://lab/butterflies@champion")
    export.add_argument(
        "url", nargs="?", help="a new folder, or a file .zip (default: exports/FORMAT below the published version)"
    )
    export.add_argument("--data", help="folder or URL of labelled photos (default: the dataset it was trained on)")
    export.add_argument("--split", default="test", help="split of the photos (default: test)")
    export.add_argument(
        "--format", default="onnx", help="onnx, openvino, or onnx-int8, a quarter of the size (default: onnx)"
    )
    export.set_defaults(command=_export)

    release = commands.add_parser("release", help="make an export the one that devices fetch")
    release.add_argument(
        "export", help="folder or .zip of an export, or a version with one, as s3://lab/moths@champion"
    )
    release.add_argument("url", help="a folder that devices can read, the same for all releases")
    release.set_defaults(command=_release)


def _export(chosen: argparse.Namespace) -> int:
    from onlineml.data.manifest.manifest import Manifest  # noqa: PLC0415 (each command loads what it needs)
    from onlineml.exporting.export import export  # noqa: PLC0415
    from onlineml.registry.versions import resolve  # noqa: PLC0415

    version = resolve(chosen.model)
    task = str(version.descriptor().get("task"))
    data = None if chosen.data is None else Manifest.from_any(chosen.data, task=task)
    done = export(version, chosen.url, data=data, split=chosen.split, format=chosen.format)
    sys.stdout.write(f"{done}\n")
    return 0


def _release(chosen: argparse.Namespace) -> int:
    from onlineml.exporting.release import release  # noqa: PLC0415

    sys.stdout.write(f"{release(chosen.export, chosen.url)}\n")
    return 0
