"""The base of all views: live in a notebook with a front end, else a static rendering of the present state.

A view is plain Python: it answers messages and renders itself as HTML. A widget is created only when a front end shows
the view, with the HTML hidden beside it, so that a saved notebook contains the HTML and no widget state.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

from onlineml.errors import ConfigError, OnlineMLError
from onlineml.storage import patience
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.project.project import Project

__all__ = ["View", "has_front_end", "own_project", "page_key", "require_own_task", "script_text", "static_text"]

_STATIC = "text/html"
# of a saved notebook or an exported page; hidden with the static part while the view is live
_SAVED = '<div style="margin-top:6px;font-size:12px;opacity:.8">Shown as it was; run this cell to go on.</div>'


def has_front_end() -> bool:
    """Return whether there is a front end: a browser or editor, not papermill, nbconvert or a terminal.

    ``ONLINEML_WIDGETS=live`` and ``ONLINEML_WIDGETS=static`` override the detection.
    """
    mode = os.environ.get("ONLINEML_WIDGETS", "")
    if mode in {"live", "static"}:
        return mode == "live"
    from IPython import get_ipython  # noqa: PLC0415 (takes a third of a second)

    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    # Front ends (JupyterLab, VS Code, Colab) send metadata of the cell; nbclient (papermill, nbconvert,
    # jupyter-scheduler) does not.
    return bool((kernel.get_parent() or {}).get("metadata"))


class View:
    """A library object in a notebook.

    Attributes:
        script: name of its module in ``static/``.
        view_id: unique on the page.
    """

    script: ClassVar[str]

    def __init__(self) -> None:
        self.view_id = f"oml-{secrets.token_hex(6)}"
        self._lock = threading.RLock()  # messages may arrive in another thread while a cell runs
        self._widget: Any = None
        self._handle: Any = None
        self._left = ""
        self._asker = ""  # the view in a page whose message is being answered

    # ---- of each view ----

    def static_html(self) -> str:
        """Return the present view as HTML without scripts, style sheets or external resources."""
        raise NotImplementedError

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer a message of the front end with any number of `send`."""
        raise NotImplementedError

    # ---- shown ----

    @property
    def widget(self) -> Any:
        """The live part as an ipywidgets widget, for boxes and tabs."""
        if self._widget is None:
            self._widget = _live_widget(self.view_id, self.script)
            self._widget.on_msg(lambda _, content, buffers: self._heard(content, buffers))
        return self._widget

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return the static part: the present view."""
        del include, exclude
        return self._bundle()

    def _ipython_display_(self) -> None:
        """Display the static part and, with a front end, the live one, which hides it."""
        from IPython.display import display  # noqa: PLC0415

        self._handle = display(self._bundle(), raw=True, display_id=self.view_id)  # type: ignore[no-untyped-call]
        if has_front_end():
            told = self.widget._repr_mimebundle_()
            shown, metadata = told if isinstance(told, tuple) else (told, {})  # of anywidget; of ipywidgets
            # an untrusted notebook shows only this text, beside the static part
            display({**shown, "text/plain": ""}, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]

    @patience.click
    def _bundle(self) -> dict[str, str]:
        self._left = self.static_html()
        return {_STATIC: f'<div id="{self.view_id}">{self._left}{_SAVED}</div>', "text/plain": repr(self)}

    def leave(self) -> None:
        """Update the static part."""
        if self._handle is not None and self.static_html() != self._left:
            self._handle.update(self._bundle(), raw=True)

    # ---- asked ----

    def send(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a message to the view in a page that is being answered; else, as `send_all`."""
        self.send_all({**content, "to": self._asker} if self._asker else content, buffers)

    def send_all(self, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Send a message to all views of this object in all pages, if there are any."""
        if self._widget is not None:
            self._widget.send(dict(content), buffers=list(buffers))

    def send_others(self, content: Mapping[str, Any]) -> None:
        """Send a message to the views in pages other than the one that is being answered."""
        self.send_all({**content, "from": self._asker})

    @patience.click
    def _heard(self, ask: Mapping[str, Any], buffers: Sequence[Any]) -> None:
        """Answer a message; errors are sent back with the number of the message."""
        with self._lock:
            self._asker = str(ask.get("number") or "").rpartition("-")[0]
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
            finally:
                self._asker = ""


def _live_widget(view_id: str, script: str) -> Any:
    """Return a widget that shows a script and carries messages; the state stays in the view."""
    import anywidget  # noqa: PLC0415 (only with a front end)
    import traitlets  # noqa: PLC0415

    class LiveView(anywidget.AnyWidget):
        """Carries messages."""

        _esm = script_text("common") + script_text(script)
        _css = static_text("view.css")
        view_id = traitlets.Unicode().tag(sync=True)

    return LiveView(view_id=view_id)


def own_project(project: Project) -> Project:
    """Open the project again, so that the view has its own revision and object.

    Accepting a suggestion then accepts the one that was shown, whatever the notebook has read since, and the view's
    threads do not share an object with the notebook's cells.
    """
    return type(project).open(project.location)


def page_key(project: Project, author: str) -> str:
    """Return the name under which a page keeps what an author has not saved yet; it does not tell the URL."""
    return hashlib.sha256(f"{project.url}\n{author}".encode()).hexdigest()[:24]


def require_own_task(view: View, project: Project) -> None:
    """Check that a view is the widget of a project's task.

    Raises:
        ConfigError: the task has another widget, or none.
    """
    task = task_of(project)
    if not task.widget or not isinstance(view, task.load("widget")):
        remedy = f"use {task.widget.replace(':', '.')}" if task.widget else "correct its images with project.labels.set"
        raise ConfigError(f"the project's task is {task.name!r}, which {type(view).__name__} cannot show: {remedy}")


@cache
def script_text(name: str) -> str:
    """Read a script of the package, ``<name>.js``, or all files of its folder ``<name>/``, as one module."""
    home = files("onlineml.widgets") / "static" / name
    parts = sorted(one.name for one in home.iterdir()) if home.is_dir() else []
    return "".join(static_text(f"{name}/{part}") for part in parts) or static_text(f"{name}.js")


@cache
def static_text(name: str) -> str:
    """Read a static file of the package."""
    return (files("onlineml.widgets") / "static" / name).read_text(encoding="utf-8")
