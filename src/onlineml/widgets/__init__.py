"""Views for notebooks: live where somebody can click, and as they stand in a saved notebook or under papermill.

Each is a view of a library object, and whatever it does can be done without it. Importing is quick: each name is
loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onlineml.widgets.boxes import BoxEditor
    from onlineml.widgets.gallery import Gallery
    from onlineml.widgets.progress import ProgressPanel
    from onlineml.widgets.relabel import Relabel
    from onlineml.widgets.results import Results
    from onlineml.widgets.upload import Upload

__all__ = ["BoxEditor", "Gallery", "ProgressPanel", "Relabel", "Results", "Upload"]

_HOMES = {
    "BoxEditor": "boxes",
    "Gallery": "gallery",
    "ProgressPanel": "progress",
    "Relabel": "relabel",
    "Results": "results",
    "Upload": "upload",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module 'onlineml.widgets' has no attribute {name!r}; it has {', '.join(__all__)}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"onlineml.widgets.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
