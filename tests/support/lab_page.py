"""A notebook in a real browser: opened, run, looked at; whatever goes wrong in the page is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, FloatRect, Locator, Page

    from lab_server import Lab

__all__ = ["LabPage"]

# The toolbar's idle mark comes before the session is ready: a run that is asked for then is dropped.
_READY = """
async () => {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  while (!window.jupyterapp?.shell?.currentWidget?.context) await pause(100);
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.revealed;
  await panel.sessionContext.ready;
  for (;;) {
    const kernel = panel.sessionContext.session?.kernel;
    if (kernel?.connectionStatus === 'connected' && kernel.status === 'idle') { await kernel.info; return; }
    await pause(100);
  }
}
"""
_NO_SIDEBAR = """
async () => {
  const { shell, commands } = window.jupyterapp;
  if (!shell.leftCollapsed) await commands.execute('application:toggle-left-area');
}
"""
_RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
_RUN_CELL = """
async (index) => {
  const content = window.jupyterapp.shell.currentWidget.content;
  content.activeCellIndex = index;
  content.deselectAll();
  await window.jupyterapp.commands.execute('notebook:run-cell');
}
"""
_START_CELL = f"(index) => {{ ({_RUN_CELL.strip()})(index); }}"
_WRITE = """
([index, source]) => {
  window.jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel.setSource(source);
}
"""
_CLEAR = "async () => { await window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs'); }"
_THEME = """
async (theme) => {
  await window.jupyterapp.commands.execute('apputils:change-theme', { theme });
  while (document.body.dataset.jpThemeName !== theme) await new Promise((done) => setTimeout(done, 50));
}
"""
_RESTART = """
async () => {
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  const begun = new Promise((done) => kernel.statusChanged.connect((_, status) => /starting/.test(status) && done()));
  kernel.restart();
  await begun;
}
"""
_SAVE = "async () => { await window.jupyterapp.shell.currentWidget.context.save(); }"
_SHUTDOWN = "async () => { await window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown(); }"
_CELLS = """
() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter((cell) => cell.type === 'code')
  .map((cell) => ({count: cell.executionCount, outputs: cell.outputs.toJSON()}))
"""


class LabPage:
    """One notebook in one page."""

    def __init__(self, browser: Browser, lab: Lab | None, shots: Path, *, width: int = 1280, height: int = 900) -> None:
        self.lab, self.shots = lab, shots
        self.taken: list[tuple[str, Locator]] = []
        self.context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=False)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(120_000)  # a busy machine; a quiet one needs seconds
        self.errors: list[str] = []
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def open(self, notebook: str) -> None:
        """Show a notebook, and wait until its kernel can be asked to run it."""
        assert self.lab is not None
        self.page.goto(self.lab.url(notebook))
        self.ready()
        self.page.evaluate(_NO_SIDEBAR)

    def ready(self) -> None:
        """Wait until the kernel of the notebook that is shown can be asked to run it."""
        self.page.evaluate(_READY)

    @property
    def is_open(self) -> bool:
        return self.page.url.startswith("http")

    def write(self, index: int, source: str) -> None:
        """Put other code into a cell."""
        self.page.evaluate(_WRITE, [index, source])

    def run_all(self) -> list[dict[str, Any]]:
        """Run every cell; returns each one's outputs.

        Raises:
            AssertionError: one failed.
        """
        self.page.evaluate(_RUN_ALL)
        cells = self.cells()
        for cell in cells:
            _require_done(cell)
        return cells

    def run(self, index: int) -> dict[str, Any]:
        """Run one cell to its end; returns its outputs."""
        self.page.evaluate(_RUN_CELL, index)
        cell = self.cells()[index]
        _require_done(cell)
        return cell

    def start(self, index: int) -> None:
        """Run one cell, and do not wait for it."""
        self.page.evaluate(_START_CELL, index)

    def cells(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.page.evaluate(_CELLS)
        return found

    def restart(self) -> None:
        """Restart the kernel, and do not wait until it is there again."""
        self.page.evaluate(_RESTART)

    def theme(self, name: str) -> None:
        """Show the page in JupyterLab's theme ``"Light"`` or ``"Dark"``."""
        self.page.evaluate(_THEME, f"JupyterLab {name}")

    def resize(self, width: int) -> None:
        """Show the page in a window of this width, in pixels, and wait until its views have heard of it."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def save(self) -> None:
        self.page.evaluate(_SAVE)

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def show(self, source: str, *, cell: int = 0) -> None:
        """Put other code into a cell, and run it in place of what all cells have shown."""
        self.ready()
        self.clear()
        self.taken.clear()
        self.page.wait_for_function("() => !document.querySelector('.oml')")
        self.write(cell, source)
        self.run(cell)

    def clear(self) -> None:
        """Take away what all cells have shown, and with it their widgets."""
        self.page.evaluate(_CLEAR)

    def shot(self, name: str, target: Locator | None = None) -> Path:
        """Keep a picture of the page, or of what is seen of a part of it when one scrolls there."""
        self.shots.mkdir(parents=True, exist_ok=True)
        path = self.shots / f"{name}.png"
        if target is None:
            self.page.screenshot(path=path)
        else:
            self.taken.append((name, target))
            self.page.screenshot(path=path, clip=self._seen(target))
        return path

    def shots_in_the_dark(self) -> None:
        """Keep a picture of each of these parts as it is now, in the dark theme."""
        self.theme("Dark")
        for name, target in self.taken.copy():
            if target.is_visible():
                self.shot(f"{name}-dark", target)
        self.taken.clear()
        self.theme("Light")

    def _seen(self, target: Locator) -> FloatRect:
        """What the notebook's panel leaves of a part that was scrolled to its top."""
        target.evaluate("(node) => node.scrollIntoView({ block: 'start' })")
        part, panel = target.bounding_box(), self.page.locator(".jp-WindowedPanel-outer").first.bounding_box()
        assert part is not None
        assert panel is not None
        top, end = max(part["y"], panel["y"]), min(part["y"] + part["height"], panel["y"] + panel["height"])
        return {"x": part["x"], "y": top, "width": part["width"], "height": end - top}

    def close(self) -> None:
        """End the kernel, then the page."""
        if self.is_open:
            self.page.evaluate(_SHUTDOWN)
        self.context.close()


def _require_done(cell: dict[str, Any]) -> None:
    for output in cell["outputs"]:
        assert output["output_type"] != "error", "\n".join(output["traceback"])
    assert cell["count"] is not None
