"""The base of all views: live in a notebook where somebody can click, a picture of the present state everywhere else.

A view is plain Python: it answers messages and can draw itself as HTML. A widget is made only when a notebook with a
front end shows the view, and then the HTML stays beside it, hidden: a saved notebook holds that, and no widget state.
"""

from __future__ import annotations

import os
import secrets
import threading
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

from onlineml.errors import ConfigError, OnlineMLError
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.project.project import Project

__all__ = ["View", "has_front_end", "own_project", "require_own_task", "static_text"]

_STATIC = "text/html"


def has_front_end() -> bool:
    """Return True if a user can click: a notebook in a browser or editor, not papermill, nbconvert or a terminal.

    ``ONLINEML_WIDGETS=live`` and ``ONLINEML_WIDGETS=static`` decide it where the guess is wrong.
    """
    said = os.environ.get("ONLINEML_WIDGETS", "")
    if said in {"live", "static"}:
        return said == "live"
    from IPython import get_ipython  # noqa: PLC0415 (takes a third of a second)

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    # Front ends tell which cell they run (JupyterLab, VS Code, Colab); nbclient, with which papermill, nbconvert and
    # jupyter-scheduler run notebooks, tells nothing.
    return bool((kernel.get_parent() or {}).get("metadata"))


class View:
    """A library object in a notebook.

    Attributes:
        script: name of its module in ``static/``.
        view_id: tells it from all others of the page.
    """

    script: ClassVar[str]

    def __init__(self) -> None:
        self.view_id = f"oml-{secrets.token_hex(6)}"
        self._lock = threading.RLock()  # a front end may ask from a thread of its own while a cell runs
        self._widget: Any = None
        self._handle: Any = None
        self._left = ""

    # ---- what each view says for itself ----

    def static_html(self) -> str:
        """Return the present view as HTML that needs no script, no style sheet and no external resources."""
        raise NotImplementedError

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer one message of the front end with any number of `send`."""
        raise NotImplementedError

    # ---- shown ----

    @property
    def widget(self) -> Any:
        """The live part as an ipywidgets widget, to be put into boxes and tabs."""
        if self._widget is None:
            self._widget = _live_widget(self.view_id, self.script)
            self._widget.on_msg(lambda _, content, buffers: self._heard(content, buffers))
        return self._widget

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the static part: the present view."""
        del include, exclude
        return self._bundle()

    def _ipython_display_(self) -> None:
        """The view as it stands, and where there is a front end the live one, which hides it."""
        from IPython.display import display  # noqa: PLC0415

        self._handle = display(self._bundle(), raw=True, display_id=self.view_id)  # type: ignore[no-untyped-call]
        if has_front_end():
            shown, metadata = self.widget._repr_mimebundle_()
            # without trust a notebook shows only this text; the picture stands beside it
            display({**shown, "text/plain": ""}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]

    def _bundle(self) -> dict[str, str]:
        self._left = self.static_html()
        return {_STATIC: f'<div id="{self.view_id}">{self._left}</div>', "text/plain": repr(self)}

    def leave(self) -> None:
        """Bring what the notebook saves up to date."""
        if self._handle is not None and self.static_html() != self._left:
            self._handle.update(self._bundle(), raw=True)

    # ---- asked ----

    def send(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Tell the front end, where there is one."""
        if self._widget is not None:
            self._widget.send(dict(content), buffers=list(buffers))

    def _heard(self, ask: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Answer a message; what goes wrong is shown where it was asked, with the number of the question."""
        with self._lock:
            try:
                if ask.get("kind") == "rest":
                    self.leave()
                else:
                    self.answer(ask, [bytes(buffer) for buffer in buffers])
            except (OnlineMLError, OSError) as error:
                self.send({"kind": "error", "text": str(error), "of": ask.get("number")})
            except Exception as error:
                self.send({"kind": "error", "text": f"{type(error).__name__}: {error}", "of": ask.get("number")})
                raise  # into the kernel's log


def _live_widget(view_id: str, script: str) -> Any:
    """Return a widget that shows ``static/<script>.js`` and carries messages; the state stays in the view."""
    import anywidget  # noqa: PLC0415 (only where somebody clicks)
    import traitlets  # noqa: PLC0415

    class LiveView(anywidget.AnyWidget):
        """Carries messages."""

        _esm = static_text("common.js") + static_text(f"{script}.js")
        _css = static_text("view.css")
        view_id = traitlets.Unicode().tag(sync=True)

    return LiveView(view_id=view_id)


def own_project(project: Project) -> Project:
    """The project opened once more: what a view has seen of it changes only when the view looks.

    Whoever accepts a suggestion accepts the one that was shown, whatever the notebook's own object has read since, and
    a view that answers from another thread never meets the notebook's cells in one object.
    """
    return type(project).open(project.location)


def require_own_task(view: View, project: Project) -> None:
    """Refuse a project whose images are corrected in another widget.

    Raises:
        ConfigError: its task names another one, or none.
    """
    task = task_of(project)
    if not task.widget or not isinstance(view, task.load("widget")):
        remedy = f"use {task.widget.replace(':', '.')}" if task.widget else "correct its images with project.labels.set"
        raise ConfigError(f"the project's task is {task.name!r}, which {type(view).__name__} cannot show: {remedy}")


@cache
def static_text(name: str) -> str:
    """A file that comes with the package."""
    return (files("onlineml.widgets") / "static" / name).read_text(encoding="utf-8")
