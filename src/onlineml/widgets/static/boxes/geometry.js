// Boxes as corners in pixels of the original: [x1, y1, x2, y2].

/** The nearest corner between pixels, within the image. */
function snapped([x, y], width, height) {
  return [Math.min(width, Math.max(0, Math.round(x))), Math.min(height, Math.max(0, Math.round(y)))];
}

function shifted([x1, y1, x2, y2], dx, dy, width, height) {
  const right = dx > 0 ? Math.max(0, Math.min(dx, width - x2)) : Math.min(0, Math.max(dx, -x1));
  const down = dy > 0 ? Math.max(0, Math.min(dy, height - y2)) : Math.min(0, Math.max(dy, -y1));
  return [x1 + right, y1 + down, x2 + right, y2 + down];
}

/** The box with the sides that a handle holds at another place; a side that is drawn over the other changes roles. */
function stretched([x1, y1, x2, y2], [u, v], [x, y]) {
  if (u === 0) x1 = x;
  if (u === 1) x2 = x;
  if (v === 0) y1 = y;
  if (v === 1) y2 = y;
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

function inside([x1, y1, x2, y2], [x, y]) {
  return x >= x1 && x <= x2 && y >= y1 && y <= y2;
}

/** The smallest box at a point, or the next larger one where that is selected already; -1 where there is none. */
function smallestAt(boxes, point, selected, isShown) {
  const area = (place) => {
    const [x1, y1, x2, y2] = boxes[place].xyxy;
    return (x2 - x1) * (y2 - y1);
  };
  const hit = boxes.map((_, place) => place).filter((place) => isShown(boxes[place]) && inside(boxes[place].xyxy, point));
  hit.sort((a, b) => area(a) - area(b));
  if (!hit.length) return -1;
  return hit[(hit.indexOf(selected) + 1) % hit.length];
}
