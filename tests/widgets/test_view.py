"""What all views share: live only where somebody can click, a picture everywhere, and no fault without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from front_end import FrontEnd
from onlineml.errors import ConfigError
from onlineml.widgets._view import View, has_front_end, script_text, static_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Counter(View):
    script: ClassVar[str] = "gallery"

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def static_html(self) -> str:
        return f"<p>{self.n}</p>"

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        if ask["kind"] == "refuse":
            raise ConfigError("no such thing; choose another")
        if ask["kind"] == "break":
            raise KeyError("deep")
        self.n += len(buffers)
        self.send({"kind": "counted", "n": self.n})

    def __repr__(self) -> str:
        return f"<Counter at {self.n}>"


class Kernel:
    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def get_parent(self) -> dict[str, Any]:
        return {"metadata": self.metadata}


class Shell:
    def __init__(self, metadata: dict[str, Any]) -> None:
        self.kernel = Kernel(metadata)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is displayed, one bundle each."""
    bundles: list[dict[str, Any]] = []

    class Handle:
        def update(self, bundle: dict[str, Any], *, raw: bool) -> None:
            bundles.append({"updated": bundle})

    def display(bundle: dict[str, Any], *, raw: bool, display_id: str | None = None, metadata: Any = None) -> Any:
        bundles.append(bundle)
        return Handle() if display_id else None

    monkeypatch.setattr("IPython.display.display", display)
    return bundles


def in_kernel(monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any]) -> None:
    monkeypatch.delenv("ONLINEML_WIDGETS", raising=False)
    monkeypatch.setattr("IPython.get_ipython", lambda: Shell(metadata))


def test_a_front_end_tells_which_cell_it_runs_and_papermill_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONLINEML_WIDGETS", raising=False)
    assert not has_front_end()
    in_kernel(monkeypatch, {})
    assert not has_front_end()
    in_kernel(monkeypatch, {"cellId": "1f"})
    assert has_front_end()
    monkeypatch.setenv("ONLINEML_WIDGETS", "static")
    assert not has_front_end()
    in_kernel(monkeypatch, {})
    monkeypatch.setenv("ONLINEML_WIDGETS", "live")
    assert has_front_end()


def test_without_a_front_end_the_picture_is_all_and_no_widget_is_made(
    monkeypatch: pytest.MonkeyPatch, shown: list[dict[str, Any]]
) -> None:
    in_kernel(monkeypatch, {})
    view = Counter()

    view._ipython_display_()

    (bundle,) = shown
    assert set(bundle) == {"text/html", "text/plain"}
    assert "<p>0</p>" in bundle["text/html"]
    assert "Shown as it was; run this cell to go on." in bundle["text/html"]
    assert view._widget is None
    assert view._repr_mimebundle_() == bundle


def test_with_a_front_end_the_live_view_comes_beside_the_picture(
    monkeypatch: pytest.MonkeyPatch, shown: list[dict[str, Any]]
) -> None:
    in_kernel(monkeypatch, {"cellId": "1f"})
    view = Counter()

    view._ipython_display_()

    picture, live = shown
    assert view.view_id in picture["text/html"]
    assert live["text/plain"] == ""
    assert live["application/vnd.jupyter.widget-view+json"]["model_id"] == view.widget.model_id
    assert view.widget.view_id == view.view_id
    state = view.widget.get_state()
    assert "class Gallery" in state["_esm"]
    assert ".oml" in state["_css"]


def test_the_picture_follows_when_hands_rest_and_only_if_it_changed(
    monkeypatch: pytest.MonkeyPatch, shown: list[dict[str, Any]]
) -> None:
    in_kernel(monkeypatch, {"cellId": "1f"})
    view = Counter()
    view._ipython_display_()
    front = FrontEnd(view)
    shown.clear()

    front.ask("rest")
    assert shown == []
    front.ask("count", buffers=[b"a"])
    front.ask("rest")
    front.ask("rest")

    assert ["<p>1</p>" in one["updated"]["text/html"] for one in shown] == [True]


def test_faults_are_told_where_they_were_asked_and_unexpected_ones_are_logged_too() -> None:
    front = FrontEnd(Counter())

    assert front.ask("refuse") == [{"kind": "error", "text": "no such thing; choose another", "of": "q-1"}]
    with pytest.raises(KeyError):
        front.ask("break")
    assert front.told[-1][0] == {"kind": "error", "text": "KeyError: 'deep'", "of": "q-2"}
    assert front.ask("count", buffers=[b"a", b"b"]) == [{"kind": "counted", "n": 2}]


def test_each_view_has_a_script_and_the_style_sheet_is_one_class_deep() -> None:
    from onlineml import widgets

    public = [getattr(widgets, name) for name in widgets.__all__]
    kinds = [one for one in public if isinstance(one, type) and issubclass(one, View)]
    assert len(kinds) == 6
    for kind in kinds:
        assert "export default" in script_text(kind.script)
        assert "export" not in script_text("common")
    for line in static_text("view.css").splitlines():
        if "{" in line and not line.startswith((" ", "@")):
            assert line.startswith(".oml"), f"{line}: would style the page around"
