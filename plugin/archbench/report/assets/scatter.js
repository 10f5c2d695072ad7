// Points of two metrics, in panels, with circles and lines.

const MOST_PANELS = 16;
const LARGEST_CIRCLE = 46;

/** What may stand side by side: the title and a panel's name of a point. */
const PANELS = {
  device: ["devices", (point) => point.device || "no device"],
  ...Object.fromEntries(Object.entries(AXES).map(([name, { title }]) => [
    name,
    [title, (point) => {
      const text = statedOf(point, name);
      if (text === "") return `no ${title}`;
      return typeof point[name] === "number" ? `${title} ${text}` : text;
    }],
  ])),
  setup: ["devices and precisions", (point) => point.setup || "no device"],
  target: ["devices and run configurations", (point) => point.target || "no device"],
  family: ["families", (point) => point.family],
};

function drawPoints(chart, settings, points, metrics, view) {
  const { theme, width } = view;
  const byPanel = settings.panels
    ? groups(points, PANELS[settings.panels][1])
    : new Map([["", points]]);
  const order = [...byPanel.keys()].sort(compareNames);
  const panels = order.slice(0, MOST_PANELS)
    .map((name) => ({ name, points: distinct(byPanel.get(name), metrics) }));
  const margin = { l: 66, r: 14, t: settings.panels ? 30 : 10, b: 54 };
  const { cells, height } = panelGrid(panels.length, width, margin);
  const layout = baseLayout(theme, width, height, margin);
  const circles = circleScale(settings.area, panels.length);
  const shown = panels.flatMap((panel) => panel.points);
  const largest = settings.area ? Math.max(...shown.map(circles.diameter)) / 2 : 5;
  const rangesOf = (some) => rangesOfPanel(chart, settings, some, cells[0], largest);
  const shared = rangesOf(shown);
  const hasShapes = SETUPS.length > 1 && dependsOnRun(metrics);
  const drawing = { traces: [], layout, notes: [], names: [] };
  panels.forEach((panel, n) => {
    const ranges = settings.ownScale ? rangesOf(panel.points) : shared;
    const label = panels.length > 1 ? `${panel.name}: ` : "";
    const place = { ...panel, cell: cells[n], ranges, label, most: MOST_NAMES / panels.length };
    if (settings.panels) layout.annotations.push(panelTitle(panel.name, cells[n], theme));
    drawPanel(drawing, place, { chart, settings, metrics, view, circles, hasShapes });
  });
  const left = order.length - panels.length;
  if (left > 0) {
    drawing.notes.push(`${plural(left, "panel")} more than can stand side by side were left out.`);
  }
  const isOutside = (point) =>
    (settings.logX && !(valueOf(point, settings.x) > 0)) ||
    (settings.logY && !(valueOf(point, settings.y) > 0));
  const outside = shown.filter(isOutside).length;
  if (outside > 0) {
    drawing.notes.push(
      `${plural(outside, "value")} of zero or less have no place on a logarithmic axis.`);
  }
  const architectures = unique(shown.map((point) => point.id)).length;
  drawing.notes.unshift(
    `${plural(shown.length, "point")} of ${plural(architectures, "architecture")}.`);
  drawing.key = keyOf(shown, metrics, {
    shapes: hasShapes, circles: settings.area ? circles : null, settings,
  });
  return drawing;
}

function rangesOfPanel(chart, settings, points, cell, largest) {
  const range = (metric, isLog, length) => {
    const values = points.map((point) => shownOf(point, metric));
    const [low, high] = rangeOf(values, isLog, Math.min(0.12, largest / length));
    return [chart.from_zero && !isLog ? Math.min(0, low) : low, high];
  };
  return {
    x: range(settings.x, settings.logX, cell.width),
    y: range(settings.y, settings.logY, cell.height),
  };
}

/** Axes, lines, marks and names of one panel. */
function drawPanel(drawing, panel, { chart, settings, metrics, view, circles, hasShapes }) {
  const { theme } = view;
  const { cell, ranges, label, most } = panel;
  const axes = addAxes(drawing.layout, cell, {
    x: { title: axisText(settings.x, settings.logX), isLog: settings.logX, range: ranges.x },
    y: { title: axisText(settings.y, settings.logY), isLog: settings.logY, range: ranges.y },
  }, theme);
  // Small circles are drawn over large ones.
  const points = settings.area
    ? [...panel.points].sort((a, b) => valueOf(b, settings.area) - valueOf(a, settings.area))
    : panel.points;
  const lines = linesOf(chart, settings, points, ranges, theme, label);
  drawing.traces.push(...lines.traces.map((trace) => ({ ...trace, ...axes })));
  drawing.notes.push(...lines.notes);
  if (lines.corner) drawing.layout.annotations.push(cornerText(lines.corner, cell, theme));
  const { fill, line } = inks(points, metrics, theme);
  const usual = points.length > 600 ? 6 : 9;
  const sizes = points.map((point) => (settings.area ? circles.diameter(point) : usual));
  const [x, y] = [settings.x, settings.y].map((one) => points.map((p) => shownOf(p, one)));
  drawing.traces.push({
    type: "scatter",
    mode: "markers",
    x,
    y,
    customdata: points.map((point) => point.n),
    marker: {
      color: fill,
      opacity: 1,
      size: sizes,
      symbol: hasShapes ? points.map(shapeOf) : "circle",
      line: { color: line, width: 1.3 },
    },
    hoverinfo: "none",
    ...axes,
  });
  if (!settings.names) return;
  const first = new Set([...lines.front, ...view.best]);
  const marks = points.map((point, n) => ({
    point, x: x[n], y: y[n], radius: sizes[n] / 2, isFirst: first.has(point),
  }));
  drawing.names.push({
    marks, cell, axes, trace: drawing.traces.length, lines: lines.traces, corner: lines.corner,
    isLog: { x: settings.logX, y: settings.logY }, most,
  });
  drawing.traces.push(nameTrace(axes, theme));
}

/** Areas in proportion to a metric, the same whatever the filters leave. */
function circleScale(metric, panels) {
  if (!metric) return null;
  const values = ROWS.map((point) => valueOf(point, metric)).filter((value) => value > 0)
    .sort((a, b) => a - b);
  const reference = values[Math.floor((values.length - 1) * 0.97)] ?? 1;
  const largest = panels > 1 ? LARGEST_CIRCLE * 0.7 : LARGEST_CIRCLE;
  const factor = Math.min(
    largest / Math.sqrt(reference), (2 * largest) / Math.sqrt(values.at(-1) ?? 1));
  return {
    metric,
    diameter: (point) => factor * Math.sqrt(Math.max(valueOf(point, metric), 0)),
    examples: circleExamples(values, factor, METRICS[metric].scale),
  };
}

/** Round values whose circles can be told apart, for the key. */
function circleExamples(values, factor, scale) {
  const found = [];
  for (let power = 4; power >= -6; power -= 1) {
    for (const digit of [5, 2, 1]) {
      const shown = Number(`${digit}e${power}`);
      const diameter = factor * Math.sqrt(shown / scale);
      if (shown / scale > (values.at(-1) ?? 0)) continue;
      if (diameter > LARGEST_CIRCLE * 1.05 || diameter < 4) continue;
      if (found.length > 0 && found.at(-1).diameter < diameter * 1.5) continue;
      found.push({ text: formatSignificant(shown, 4), diameter });
    }
  }
  return found.slice(0, 4).reverse();
}

function canBound(settings) {
  return !METRICS[settings.x].isLower && !METRICS[settings.y].isLower;
}

/** Fitted line, upper bound and front of one panel, for each device and precision in it. */
function linesOf(chart, settings, points, ranges, theme, label) {
  const lines = { traces: [], notes: [], front: [], corners: [] };
  const bySetup = groups(points, (point) => point.setup);
  for (const [setup, members] of bySetup) {
    const name = bySetup.size > 1 ? setup : "";
    const place = `${label}${name && `${name}: `}`;
    const context = { chart, settings, ranges, theme, place, name };
    const xs = members.map((point) => shownOf(point, settings.x));
    const ys = members.map((point) => shownOf(point, settings.y));
    if (settings.fit) addFit(lines, xs, ys, context);
    if (settings.bound && canBound(settings)) addBound(lines, xs, ys, context);
    if (settings.front) addFront(lines, members, context);
  }
  return { ...lines, corner: lines.corners.join(", ") };
}

function addFit(lines, xs, ys, { chart, settings, theme, place, name }) {
  const isLog = settings.logX && settings.logY;
  const fit = isLog ? fitLine(xs.map(Math.log10), ys.map(Math.log10)) : fitLine(xs, ys);
  if (!fit) {
    lines.notes.push(`${place}Too few different points for a fitted line.`);
    return;
  }
  const straight = (x) => fit.intercept + fit.slope * x;
  const at = isLog ? (x) => 10 ** straight(Math.log10(x)) : straight;
  const style = { color: theme.muted, width: 1.4, dash: "dash" };
  lines.traces.push(curve(at, Math.min(...xs), Math.max(...xs), settings, style));
  const r = `r = ${fit.correlation.toFixed(3).replace("-", "−")}`;
  lines.corners.push(`${name} ${r}`.trim());
  const isRate = chart.slope && !isLog && settings.x === chart.x && settings.y === chart.y;
  const rate = isRate
    ? `, ${formatSignificant(fit.slope * chart.slope[0], 3)} ${chart.slope[1]}` : "";
  const of = isLog ? " of the logarithms" : "";
  lines.notes.push(
    `${place}Fitted line over ${plural(fit.count, "point")}, Pearson’s ${r}${of}${rate}.`);
}

function addBound(lines, xs, ys, { settings, ranges, theme, place }) {
  const bound = upperBound(xs, ys);
  if (!bound) return;
  const at = (x) => bound.intercept + bound.slope * x;
  const ends = ranges.x.map((end) => (settings.logX ? 10 ** end : end));
  const style = { color: theme.muted, width: 1.4, dash: "dot" };
  lines.traces.push(curve(at, ...ends, settings, style, ranges.y[0]));
  const sign = bound.slope < 0 ? "−" : "+";
  const slope = formatSignificant(Math.abs(bound.slope), 3);
  const intercept = formatSignificant(bound.intercept, 4);
  const title = METRICS[settings.x].title;
  lines.notes.push(`${place}Upper bound ${intercept} ${sign} ${slope} × ${title}.`);
}

function addFront(lines, points, { settings, theme, place }) {
  const { members, undecided } = paretoFront(points, settings.x, settings.y);
  lines.front.push(...members);
  const line = [...members].sort((a, b) => valueOf(a, settings.x) - valueOf(b, settings.x));
  if (line.length > 0) {
    lines.traces.push({
      type: "scatter", mode: "lines", hoverinfo: "skip",
      x: line.map((point) => shownOf(point, settings.x)),
      y: line.map((point) => shownOf(point, settings.y)),
      line: { color: theme.ink, width: 1.4 },
    });
    lines.notes.push(`${place}On the front, by more than the measuring error: ${listOf(line)}.`);
  }
  if (undecided.length > 0) {
    const names = listOf(undecided);
    lines.notes.push(
      `${place}Dominated by none, but better by less than the measuring error: ${names}.`);
  }
}

function listOf(points, most = 12) {
  const listed = points.slice(0, most).map((point) => point.name).join(", ");
  return points.length > most ? `${listed} and ${points.length - most} more` : listed;
}

/** A line y = at(x), sampled, as it is bent on a logarithmic axis; nothing below `lowest`. */
function curve(at, low, high, settings, line, lowest = -Infinity) {
  const xs = [];
  const ys = [];
  const [start, end] = settings.logX ? [Math.log10(low), Math.log10(high)] : [low, high];
  for (let n = 0; n <= 80; n += 1) {
    const place = start + ((end - start) * n) / 80;
    const x = settings.logX ? 10 ** place : place;
    const y = at(x);
    const height = settings.logY ? Math.log10(y) : y;
    if (!Number.isFinite(height) || height < lowest) continue;
    xs.push(x);
    ys.push(y);
  }
  return { type: "scatter", mode: "lines", x: xs, y: ys, line, hoverinfo: "skip" };
}
