"""Models outside of torch: files for other runtimes, each with a certificate that its answers are equal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.exporting.certificate import Certificate as Certificate
    from onlineml.exporting.certificate import Tolerance as Tolerance
    from onlineml.exporting.costs import Costs as Costs
    from onlineml.exporting.costs import Speed as Speed
    from onlineml.exporting.export import Export as Export
    from onlineml.exporting.exported import ExportedModel as ExportedModel
    from onlineml.exporting.pieces import Agreement as Agreement

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "Agreement": "pieces",
        "Certificate": "certificate",
        "Costs": "costs",
        "Export": "export",
        "ExportedModel": "exported",
        "Speed": "costs",
        "Tolerance": "certificate",
    },
)
