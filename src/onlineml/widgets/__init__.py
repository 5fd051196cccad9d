"""Notebook views of library objects: live with a front end, static in a saved notebook or under papermill.

Importing is fast: each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.lazy import lazy_exports

if TYPE_CHECKING:
    from onlineml.widgets.answering import AnswersAwaitedError as AnswersAwaitedError
    from onlineml.widgets.answering import answer_first as answer_first
    from onlineml.widgets.boxes import BoxEditor as BoxEditor
    from onlineml.widgets.gallery import Gallery as Gallery
    from onlineml.widgets.progress import ProgressPanel as ProgressPanel
    from onlineml.widgets.relabel import Relabel as Relabel
    from onlineml.widgets.results import Results as Results
    from onlineml.widgets.upload import Upload as Upload

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "AnswersAwaitedError": "answering",
        "BoxEditor": "boxes",
        "Gallery": "gallery",
        "ProgressPanel": "progress",
        "Relabel": "relabel",
        "Results": "results",
        "Upload": "upload",
        "answer_first": "answering",
    },
)
