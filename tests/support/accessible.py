"""Roles, names and contrast of what a page shows: as Chromium tells screen readers, and as its styles are computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["axe_violations", "cut_off", "illegible", "nameless"]

# WCAG 2.2: 1.4.3 needs 4.5 : 1, and 3 : 1 for text of 24 px, or of 18.66 px in bold; what is disabled is exempt.
_CONTRAST = """
(selector) => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[3] * top[i] + (1 - top[3]) * below[i]).concat(1);
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const back = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push([parse(getComputedStyle(at).backgroundColor), at]);
    return layers.reverse().reduce((below, [color]) => over(color, below), [255, 255, 255, 1]);
  };
  const faded = (node) => {
    let share = 1;
    for (let at = node; at; at = at.parentElement) share *= Number(getComputedStyle(at).opacity);
    return share;
  };
  const found = [];
  for (const root of document.querySelectorAll(selector)) {
    for (const node of [root, ...root.querySelectorAll("*")]) {
      const texts = [...node.childNodes].filter((one) => one.nodeType === 3);
      const own = texts.map((one) => one.textContent).join("").trim();
      const text = own || node.placeholder || "";
      if (!text || !node.checkVisibility({ visibilityProperty: true })) continue;
      if (node.closest(":disabled, svg, .oml-mark, option")) continue;
      const style = getComputedStyle(node, own ? null : "::placeholder");
      const below = back(node);
      const color = parse(style.color);
      const shown = over([...color.slice(0, 3), color[3] * faded(node)], below);
      const [a, b] = [light(shown), light(below)].sort((p, q) => q - p);
      const ratio = (a + 0.05) / (b + 0.05);
      const size = parseFloat(style.fontSize);
      const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
      if (ratio < least) found.push(`${ratio.toFixed(2)}: ${node.className || node.tagName} “${text.slice(0, 40)}”`);
    }
  }
  return [...new Set(found)];
}
"""
# A part that ends beyond its view, or hides what it holds without a bar to scroll it or an ellipsis.
_CUT_OFF = """
(selector) => {
  const found = [];
  for (const root of document.querySelectorAll(selector)) {
    const end = root.getBoundingClientRect().right + 1;
    for (const node of [root, ...root.querySelectorAll("*")]) {
      if (!node.checkVisibility() || !node.clientWidth) continue;
      if (node.closest("svg, .oml-help, .oml-extra, .oml-tags")) continue;
      const style = getComputedStyle(node);
      const hides = style.overflowX === "hidden" && style.textOverflow !== "ellipsis";
      const cut = hides && node.scrollWidth > node.clientWidth + 1;
      const beyond = node.getBoundingClientRect().right > end && style.position !== "absolute";
      if (cut || beyond) found.push(`${node.className || node.tagName} “${node.textContent.trim().slice(0, 40)}”`);
    }
  }
  return [...new Set(found)];
}
"""
_NAMED = {"button", "textbox", "combobox", "listbox", "option", "checkbox", "spinbutton", "image", "alertdialog"}
_NAMED |= {"progressbar", "progressIndicator", "region", "link", "searchbox", "slider"}  # not a group: details is one
_RUN_AXE = """
async (selector) => {
  const found = await axe.run(selector, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] });
  const told = (id, one) => `${id}: ${one.html.slice(0, 160)} ${one.failureSummary.slice(0, 300)}`;
  return found.violations.flatMap(({ id, nodes }) => nodes.map((one) => told(id, one)));
}
"""


def cut_off(page: Page, selector: str) -> list[str]:
    """What a reader cannot see of the views, because the window is narrow."""
    found: list[str] = page.evaluate(_CUT_OFF, selector)
    return found


def illegible(page: Page, selector: str) -> list[str]:
    """Texts below `selector` with too little contrast, by the computed styles of the text and all that is behind it."""
    found: list[str] = page.evaluate(_CONTRAST, selector)
    return found


def nameless(page: Page, selector: str) -> list[str]:
    """Parts below `selector` that a screen reader gets without a name, in Chromium's own accessibility tree."""
    session = page.context.new_cdp_session(page)
    root = session.send("Runtime.evaluate", {"expression": f"document.querySelector({selector!r})"})
    asked = {"objectId": root["result"]["objectId"]}
    nodes: list[dict[str, Any]] = session.send("Accessibility.queryAXTree", asked)["nodes"]
    session.detach()
    shown = [node for node in nodes if not node.get("ignored")]
    roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]
    return [role for role, name in roles if role in _NAMED and not name.strip()]


def axe_violations(page: Page, selector: str) -> list[str]:
    """What axe-core finds below `selector`; nothing where ONLINEML_AXE does not name its script."""
    script = os.environ.get("ONLINEML_AXE")
    if not script:
        return []
    if not page.evaluate("() => Boolean(window.axe)"):
        # not as a module: JupyterLab has a loader that would take it
        page.evaluate(f"() => {{ const define = undefined, module = undefined; {Path(script).read_text()} }}")
    found: list[str] = page.evaluate(_RUN_AXE, selector)
    return found
