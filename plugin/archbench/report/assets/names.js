// Names beside points, where they meet neither each other nor a mark nor a line.

const MOST_NAMES = 120;
const NAME_SIZE = 11;

function nameTrace(axes, theme) {
  return {
    type: "scatter", mode: "text", x: [], y: [], text: [], textposition: "middle center",
    textfont: { size: NAME_SIZE, color: theme.ink, family: theme.font },
    hoverinfo: "skip", cliponaxis: true, ...axes,
  };
}

/** From values to pixels of a panel and back, along one axis. */
function scaleOf(isLog, [low, high], length) {
  return {
    to: (value) => (((isLog ? Math.log10(value) : value) - low) / (high - low)) * length,
    from: (pixels) => {
      const place = low + (pixels / length) * (high - low);
      return isLog ? 10 ** place : place;
    },
  };
}

/**
 * Places of names, as a trace; a name that finds none is left out, and hovering shows it. The
 * front and the best come first.
 */
function placeNames(group, ranges, theme) {
  const { marks, cell, isLog, lines = [], corner = "", most = MOST_NAMES } = group;
  const across = scaleOf(isLog.x, ranges.x, cell.width);
  const up = scaleOf(isLog.y, ranges.y, cell.height);
  const isInside = ({ x, y }) => x >= 0 && x <= cell.width && y >= 0 && y <= cell.height;
  const seen = marks
    .map((mark) => ({ ...mark, x: across.to(mark.x), y: up.to(mark.y) })).filter(isInside);
  const boxes = new Boxes();
  for (const { x, y, radius } of seen) {
    const r = radius * 0.75 + 1;
    boxes.add([x - r, y - r, x + r, y + r]);
  }
  for (const line of lines) boxes.addLine(line.x.map(across.to), line.y.map(up.to));
  if (corner) {
    boxes.add([0, cell.height - 24, widthOf(corner, 12, theme.font) + 14, cell.height]);
  }
  const order = [...seen].sort(
    (a, b) => b.isFirst - a.isFirst || b.radius - a.radius || b.y - a.y);
  const result = { x: [], y: [], text: [] };
  for (const mark of order.slice(0, 3 * most)) {
    if (result.text.length >= most) break;
    const text = shortened(mark.point.name, 170, NAME_SIZE, theme.font);
    const box = freeBox(mark, widthOf(text, NAME_SIZE, theme.font) + 4, 13, cell, boxes);
    if (box === null) continue;
    boxes.add(box);
    result.x.push(across.from((box[0] + box[2]) / 2));
    result.y.push(up.from((box[1] + box[3]) / 2));
    result.text.push(plain(text));
  }
  return result;
}

function freeBox({ x, y, radius, isEnd }, width, height, cell, boxes) {
  const gap = radius + 2;
  const slant = radius * 0.78 + 1.5;
  const corners = [
    [x + gap, y - height / 2], [x - gap - width, y - height / 2],
    [x - width / 2, y + gap], [x - width / 2, y - gap - height],
    [x + slant, y + slant], [x + slant, y - slant - height],
    [x - slant - width, y + slant], [x - slant - width, y - slant - height],
  ];
  // Left of the end of a line there is the line.
  for (const [left, bottom] of isEnd ? corners.slice(0, 1) : corners) {
    const box = [left, bottom, left + width, bottom + height];
    const isInside = left >= 0 && bottom >= 0 && box[2] <= cell.width && box[3] <= cell.height;
    if (isInside && !boxes.meets(box)) return box;
  }
  return null;
}

/** Boxes in a grid, so that a thousand marks are looked up quickly. */
class Boxes {
  constructor() {
    this.cells = new Map();
  }

  * keys([left, bottom, right, top]) {
    for (let i = Math.floor(left / 40); i <= Math.floor(right / 40); i += 1) {
      for (let j = Math.floor(bottom / 40); j <= Math.floor(top / 40); j += 1) yield i * 4096 + j;
    }
  }

  add(box) {
    for (const key of this.keys(box)) {
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push(box);
    }
  }

  /** A drawn line as small boxes along it. */
  addLine(xs, ys) {
    for (let n = 1; n < xs.length; n += 1) {
      const [dx, dy] = [xs[n] - xs[n - 1], ys[n] - ys[n - 1]];
      const steps = Math.min(400, Math.ceil(Math.hypot(dx, dy) / 4)) || 1;
      for (let step = 0; step <= steps; step += 1) {
        const x = xs[n - 1] + (dx * step) / steps;
        const y = ys[n - 1] + (dy * step) / steps;
        this.add([x - 1, y - 1, x + 1, y + 1]);
      }
    }
  }

  meets(box) {
    const [left, bottom, right, top] = box;
    const isMet = (b) => left < b[2] && right > b[0] && bottom < b[3] && top > b[1];
    return [...this.keys(box)].some((key) => this.cells.get(key)?.some(isMet));
  }
}
