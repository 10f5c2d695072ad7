// Judging: fitted lines, upper bounds, the Pareto front.

/** Least squares of y on x with Pearson's coefficient; null as in archbench.core.fitting. */
function fitLine(xs, ys) {
  const count = xs.length;
  if (count < 3 || new Set(xs).size < 2 || new Set(ys).size < 2) return null;
  const meanX = mean(xs);
  const meanY = mean(ys);
  let xx = 0;
  let xy = 0;
  let yy = 0;
  for (let n = 0; n < count; n += 1) {
    const dx = xs[n] - meanX;
    const dy = ys[n] - meanY;
    xx += dx * dx;
    xy += dx * dy;
    yy += dy * dy;
  }
  const slope = xy / xx;
  return { slope, intercept: meanY - slope * meanX, correlation: xy / Math.sqrt(xx * yy), count };
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * The line on or above all points that lies closest to them: the edge of the upper convex hull
 * over the mean x. After Bianco et al. 2018, section V-D, whose lines it gives on their figures.
 */
function upperBound(xs, ys) {
  const highest = new Map();
  xs.forEach((x, n) => highest.set(x, Math.max(ys[n], highest.get(x) ?? -Infinity)));
  if (highest.size < 2) return null;
  const hull = [];
  for (const [x, y] of [...highest].sort((a, b) => a[0] - b[0])) {
    while (hull.length >= 2 && isOnOrBelow(hull.at(-1), hull.at(-2), [x, y])) hull.pop();
    hull.push([x, y]);
  }
  const middle = mean(xs);
  const found = hull.findIndex(([x], n) => n > 0 && x >= middle);
  const right = found < 0 ? hull.length - 1 : found;
  const [x0, y0] = hull[right - 1];
  const [x1, y1] = hull[right];
  const slope = (y1 - y0) / (x1 - x0);
  return { slope, intercept: y0 - slope * x0 };
}

function isOnOrBelow([x, y], [x0, y0], [x1, y1]) {
  return (y - y0) * (x1 - x0) <= (y1 - y0) * (x - x0);
}

/** `[low, value, high]` of a figure with its measuring error, turned so that more is better. */
function scoreOf(point, metric) {
  const [value] = point.values[metric];
  let [, , , low = value, high = value] = point.values[metric];
  if (kindOf(point, metric) === "measured") {
    const error = METRICS[metric].error * value;
    low = Math.min(low, value - error);
    high = Math.max(high, value + error);
  }
  return METRICS[metric].isLower ? [-high, -value, -low] : [low, value, high];
}

/**
 * The Pareto front of two metrics, as archbench.core.pareto draws it. One is better than
 * another in a metric if their intervals do not touch; a member is better than every other one in
 * either metric. Who is dominated by none but not better than all is undecided.
 */
function paretoFront(points, first, second) {
  const scored = points.map(
    (point) => ({ point, x: scoreOf(point, first), y: scoreOf(point, second) }));
  const byName = (a, b) => (a.name < b.name ? -1 : 1);
  scored.sort((a, b) => b.x[1] - a.x[1] || b.y[1] - a.y[1] || byName(a.point, b.point));
  // Those that are best by their values alone dominate most of the others: they are tried first.
  const best = [];
  const rest = [];
  let height = -Infinity;
  for (const cell of scored) {
    (cell.y[1] > height ? best : rest).push(cell);
    height = Math.max(height, cell.y[1]);
  }
  const ordered = [...best, ...rest];
  const members = [];
  const undecided = [];
  for (const cell of scored) {
    let isClose = false;
    let isDominated = false;
    for (const other of ordered) {
      if (other === cell || cell.x[0] > other.x[2] || cell.y[0] > other.y[2]) continue;
      isClose = true;
      const isBetter = other.x[0] > cell.x[2] || other.y[0] > cell.y[2];
      if (isBetter && other.x[1] >= cell.x[1] && other.y[1] >= cell.y[1]) {
        isDominated = true;
        break;
      }
    }
    if (!isDominated) (isClose ? undecided : members).push(cell.point);
  }
  return { members, undecided };
}

/** The best by top-1, one place for each architecture: of its cells the fastest. */
function bestOf(points, most) {
  const speed = (point) => valueOf(point, "throughput") ?? 0;
  const byTop1 = (a, b) => valueOf(b, "top1") - valueOf(a, "top1") || speed(b) - speed(a);
  const ranked = points.filter((point) => point.values.top1)
    .sort((a, b) => byTop1(a, b) || (a.name < b.name ? -1 : 1));
  const best = new Map();
  for (const point of ranked) {
    const name = `${point.library}\n${point.name}`;
    if (!best.has(name)) best.set(name, point);
    if (best.size === most) break;
  }
  return [...best.values()];
}
