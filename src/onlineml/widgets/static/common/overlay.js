/** Boxes over a picture, in pixels of the original, each with its label. */
function overlay(boxes, [height, width], { labels = false } = {}) {
  const layer = make("svg:svg", { class: "oml-boxes", "aria-hidden": "true", viewBox: `0 0 ${width} ${height}` });
  for (const box of boxes) {
    const [x1, y1, x2, y2] = box.xyxy;
    const place = { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) };
    const dashed = box.dashed ? "oml-dashed" : "";
    layer.append(make("svg:rect", { ...place, class: "oml-rim" }));
    const line = make("svg:rect", { ...place, class: `oml-line ${dashed}`, style: `stroke:${box.color}` });
    line.append(make("svg:title", { text: box.text }));
    layer.append(line);
  }
  if (!labels) return [layer];
  const tags = make("div", { class: "oml-tags" });
  for (const box of boxes) {
    const style = `left:${(100 * box.xyxy[0]) / width}%;top:${(100 * box.xyxy[1]) / height}%;background:${box.color}`;
    tags.append(make("span", { class: "oml-tag", style, text: box.text }));
  }
  return [layer, tags];
}
