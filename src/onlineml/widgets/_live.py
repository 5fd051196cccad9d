"""The live part of a view: one anywidget, which carries messages. The state stays in the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onlineml.errors import MissingDependencyError
from onlineml.widgets._view import static_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["live_widget"]


def live_widget(view_id: str, script: str, heard: Callable[[Any, Any], None]) -> Any:
    """A widget that shows ``static/<script>.js`` and hands on what it is told.

    Raises:
        MissingDependencyError: anywidget is not installed.
    """
    try:
        import anywidget  # noqa: PLC0415
        import traitlets  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("widgets need anywidget: pip install 'onlineml[widgets]'") from error

    class LiveView(anywidget.AnyWidget):
        """Carries messages."""

        _esm = static_text("common.js") + static_text(f"{script}.js")
        _css = static_text("view.css")
        view_id = traitlets.Unicode().tag(sync=True)

    widget = LiveView(view_id=view_id)
    widget.on_msg(lambda _, content, buffers: heard(content, buffers))
    return widget
