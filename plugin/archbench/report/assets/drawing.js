// Drawing: from points to what Plotly draws. Nothing here reads controls or changes the page.

const SHAPES = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "pentagon", "star"];
const MOST_PANELS = 16;
const MOST_LINES = 40;
const MOST_NAMES = 120;
const LARGEST_CIRCLE = 46;

// What each shows is declared in archbench/report/charts/declared.py.
const CHARTS = DATA.charts;
const HOW_TO_GET = DATA.how_to_get;
const ELSEWHERE = "It has to come from another run or table.";

// ---------------------------------------------------------------------------------------------
// Colours and shapes

const PLACES = placeInFamilies();

/** For each architecture 0 to 1: where it stands in its family, by params. */
function placeInFamilies() {
  const families = new Map();
  for (const point of POINTS) {
    const members = families.get(point.family) ?? new Map();
    families.set(point.family, members);
    const size = Math.min(valueOf(point, "params") ?? Infinity, members.get(point.id) ?? Infinity);
    members.set(point.id, size);
  }
  const places = new Map();
  for (const [family, members] of families) {
    const order = [...members].sort((a, b) => a[1] - b[1] || compareNames(a[0], b[0]));
    order.forEach(([id], n) => {
      places.set(`${family}\n${id}`, order.length > 1 ? n / (order.length - 1) : 0.5);
    });
  }
  return places;
}

/** `#rrggbb` of an architecture: the hue of its family, darker with more params. */
function shadeOf(point, theme) {
  const { hue, lightness } = DATA.families[point.family];
  const place = PLACES.get(`${point.family}\n${point.id}`);
  const shift = theme.isDark ? 0.1 : 0;
  return oklch(lightness + shift + 0.1 * (1 - 2 * place), hue);
}

function familyColour(family, theme) {
  const { hue, lightness } = DATA.families[family];
  return oklch(lightness + (theme.isDark ? 0.1 : 0), hue);
}

const OKLCH_CACHE = new Map();

/** OKLCH to sRGB after Ottosson 2020, grey without a hue; as much chroma as the screen can show. */
function oklch(lightness, hue) {
  const chroma = hue === null ? 0 : 0.14;
  const key = `${lightness.toFixed(3)} ${hue}`;
  const known = OKLCH_CACHE.get(key);
  if (known) return known;
  const angle = (hue * Math.PI) / 180;
  let rgb;
  for (let c = chroma; c >= 0; c -= 0.01) {
    const a = c * Math.cos(angle);
    const b = c * Math.sin(angle);
    const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
    rgb = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ];
    if (rgb.every((part) => part >= -1e-6 && part <= 1 + 1e-6)) break;
  }
  const text = rgb.map((part) => {
    const p = Math.min(Math.max(part, 0), 1);
    const gamma = p <= 0.0031308 ? 12.92 * p : 1.055 * p ** (1 / 2.4) - 0.055;
    return Math.round(gamma * 255).toString(16).padStart(2, "0");
  });
  const colour = `#${text.join("")}`;
  OKLCH_CACHE.set(key, colour);
  return colour;
}

const SETUPS = [...new Set(POINTS.map((point) => point.setup))];

function shapeOf(point) {
  return SHAPES[SETUPS.indexOf(point.setup) % SHAPES.length];
}

/** A point whose place on the axes was printed by others, at least in part, is an open ring. */
function isPublished(point, metrics) {
  return metrics.some((metric) => metric && kindOf(point, metric) === "published");
}

/** Fill and outline of marks: solid where measured or counted, pale where published. */
function inks(points, metrics, theme) {
  const line = points.map((point) => shadeOf(point, theme));
  const fill = points.map((point, n) => line[n] + (isPublished(point, metrics) ? "26" : "cc"));
  return { fill, line };
}

/** A colour on paper, of so much strength; opaque, so that no grid shows through. */
function onPaper(colour, strength, theme) {
  const parts = (text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));
  const paper = parts(theme.paper);
  const mixed = parts(colour).map((part, n) => Math.round(part * strength + paper[n] * (1 - strength)));
  return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

// ---------------------------------------------------------------------------------------------
// Text

/** Plotly reads some HTML in texts; a name is never HTML. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const PEN = document.createElement("canvas").getContext("2d");
const WIDTHS = new Map();

function widthOf(text, size, family) {
  const key = `${size} ${text}`;
  let width = WIDTHS.get(key);
  if (width === undefined) {
    PEN.font = `${size}px ${family}`;
    width = PEN.measureText(text).width;
    WIDTHS.set(key, width);
  }
  return width;
}

function shortened(text, room, size, family) {
  if (widthOf(text, size, family) <= room) return text;
  let end = text.length;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`, size, family) > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

function titleOf(metric) {
  return METRICS[metric].title;
}

/** A metric in a sentence, without its unit. */
function nounOf(metric) {
  return METRICS[metric].axis.split(" (")[0];
}

/** The title of an axis, which says where it is logarithmic. */
function axisText(metric, isLog) {
  return METRICS[metric].axis + (isLog ? ", logarithmic" : "");
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// ---------------------------------------------------------------------------------------------
// What a chart is drawn from

/** The points that have all of the chart's figures, or a sentence that says what is missing. */
function drawable(chart, settings, points) {
  const metrics = metricsOf(chart, settings);
  const absent = metrics.filter((metric) => !PRESENT.includes(metric));
  if (POINTS.length === 0) return { sentence: "There are no figures: no run and no table was given." };
  if (absent.length > 0 && !(chart.form === "batch" && absent.length === 1)) {
    const names = absent.map(nounOf).join(" and ");
    const how = HOW_TO_GET[absent[0]] ?? ELSEWHERE;
    return { sentence: `No source has figures of ${names}. ${how}` };
  }
  const needed = metrics.filter((metric) => !absent.includes(metric));
  const has = (point) =>
    chart.form === "batch"
      ? point.batch_size !== null && needed.some((metric) => point.figures[metric])
      : needed.every((metric) => point.figures[metric]);
  const all = POINTS.filter(has);
  if (all.length === 0) {
    const names = needed.map(nounOf).join(" and ");
    return { sentence: `No architecture has ${names} together.` };
  }
  const found = points.filter(has);
  if (found.length === 0) return { sentence: "The filters leave nothing to draw here." };
  const batch = settings.batch;
  const chosen = batch === "" || batch === undefined
    ? found
    : found.filter((point) => point.batch_size === null || point.batch_size === Number(batch));
  if (chosen.length === 0) {
    return { sentence: `The filters leave nothing to draw here at batch size ${batch}.` };
  }
  return { points: chosen, metrics: needed };
}

function metricsOf(chart, settings) {
  if (chart.form === "bars") return [settings.x];
  if (chart.form === "batch") return [settings.y, settings.second];
  return [settings.x, settings.y, settings.area].filter(Boolean);
}

/** Cells that differ in nothing that the chart shows are one mark. */
function distinct(points, metrics) {
  const seen = new Set();
  const isTimed = dependsOnTarget(metrics);
  return points.filter((point) => {
    const key = `${point.id}\n${point.name}\n${isTimed ? point.setup : ""}\n${metrics.map((m) => valueOf(point, m)).join("\n")}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Whether the metrics differ between devices, so that the device has to be said. */
function dependsOnTarget(metrics) {
  const independent = new Set([
    "params", "trainable_params", "macs", "buffers", "activations", "max_channels",
    "operator_calls", "top1", "top5", "density", "top1_per_gmac",
  ]);
  return metrics.some((metric) => metric && !independent.has(metric));
}

function groups(points, keyOf) {
  const found = new Map();
  for (const point of points) {
    const key = keyOf(point);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(point);
  }
  return found;
}

// ---------------------------------------------------------------------------------------------
// Plotly's layout

function baseLayout(theme, width, height, margin) {
  return {
    width,
    height,
    margin: { pad: 0, ...margin },
    paper_bgcolor: theme.paper,
    plot_bgcolor: theme.paper,
    font: { family: theme.font, size: 12, color: theme.muted },
    showlegend: false,
    hovermode: "closest",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    separators: ".,",
    annotations: [],
    shapes: [],
  };
}

function axis(theme, more) {
  return {
    color: theme.muted,
    gridcolor: theme.grid,
    linecolor: theme.line,
    tickcolor: theme.line,
    ticks: "outside",
    ticklen: 4,
    showline: true,
    zeroline: false,
    exponentformat: "none",
    automargin: false,
    ...more,
  };
}

function axisTitle(text, theme, standoff = 8) {
  return { text, standoff, font: { size: 13, color: theme.ink } };
}

/** Columns, height and the domains of panels, in pixels of the whole drawing. */
function panelGrid(count, width, margin) {
  const most = width < 620 ? 1 : width < 1000 || count === 4 ? 2 : 3;
  const columns = Math.min(count, most);
  const rows = Math.ceil(count / columns);
  const inner = width - margin.l - margin.r;
  const gapX = columns > 1 ? 34 : 0;
  const gapY = 58;
  const panelWidth = (inner - gapX * (columns - 1)) / columns;
  const panelHeight = count === 1 ? (width < 620 ? 330 : 460) : Math.min(300, Math.max(220, panelWidth * 0.8));
  const innerHeight = rows * panelHeight + (rows - 1) * gapY;
  const cells = [];
  for (let n = 0; n < count; n += 1) {
    const column = n % columns;
    const row = Math.floor(n / columns);
    const left = column * (panelWidth + gapX);
    const top = row * (panelHeight + gapY);
    cells.push({
      suffix: n === 0 ? "" : String(n + 1),
      x: [left / inner, (left + panelWidth) / inner],
      y: [1 - (top + panelHeight) / innerHeight, 1 - top / innerHeight],
      width: panelWidth,
      height: panelHeight,
      isLeft: column === 0,
      isBottom: n + columns >= count,
    });
  }
  return { cells, height: innerHeight + margin.t + margin.b };
}

/** The range of an axis with room for the marks; in powers of ten where it is logarithmic. */
function rangeOf(values, isLog, radiusShare) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    const place = isLog ? Math.log10(value) : value;
    if (!Number.isFinite(place)) continue;
    low = Math.min(low, place);
    high = Math.max(high, place);
  }
  if (low === Infinity) return isLog ? [0, 1] : [0, 1];
  const span = high - low || (isLog ? 1 : Math.abs(high) || 1);
  const room = span * (0.05 + radiusShare);
  const start = !isLog && low >= 0 && low - room < 0 ? Math.min(0, low - span * radiusShare) : low - room;
  return [start, high + room];
}

// ---------------------------------------------------------------------------------------------
// Bars

function drawBars(chart, settings, points, metrics, view) {
  const { theme, width } = view;
  const metric = settings.x;
  const isTimed = dependsOnTarget([metric]);
  const rows = distinct(points, metrics);
  const sign = LOWER_IS_BETTER.has(metric) ? 1 : -1;
  const byValue = (a, b) => sign * (valueOf(a, metric) - valueOf(b, metric));
  const orders = {
    value: byValue,
    name: (a, b) => compareNames(a.name, b.name) || byValue(a, b),
    family: (a, b) => compareNames(a.family, b.family) || byValue(a, b),
  };
  rows.sort(byValue);
  const most = settings.most === "" ? rows.length : Number(settings.most);
  const shown = rows.slice(0, most).sort(orders[settings.order]);
  const names = labelsOfRows(shown, isTimed);
  const room = Math.min(width * 0.42, Math.max(...names.map((name) => widthOf(name, 12, theme.font))) + 14);
  const values = shown.map((point) => shownOf(point, metric));
  const texts = shown.map((point) => textOf(point, metric));
  const textRoom = Math.max(...texts.map((text) => widthOf(text, 11, theme.font))) + 12;
  const margin = { l: Math.ceil(room), r: Math.ceil(textRoom), t: 8, b: 48 };
  const height = shown.length * 21 + margin.t + margin.b;
  const { line } = inks(shown, metrics, theme);
  const fill = shown.map((point, n) => onPaper(line[n], isPublished(point, metrics) ? 0.3 : 0.88, theme));
  const places = shown.map((_, n) => n);
  const layout = baseLayout(theme, width, height, margin);
  layout.bargap = 0.28;
  layout.xaxis = axis(theme, {
    title: axisTitle(METRICS[metric].axis, theme), range: [Math.min(0, ...values), Math.max(0, ...values) || 1],
  });
  layout.yaxis = axis(theme, {
    range: [shown.length - 0.5, -0.5],
    tickvals: places,
    ticktext: names.map((name) => plain(shortened(name, room - 12, 12, theme.font))),
    tickfont: { size: 12, color: theme.ink },
    showgrid: false,
    ticks: "",
    showline: false,
    fixedrange: true,
  });
  const trace = {
    type: "bar",
    orientation: "h",
    x: values,
    y: places,
    text: texts,
    textposition: "outside",
    textfont: { size: 11, color: theme.muted },
    cliponaxis: false,
    customdata: shown.map((point) => point.n),
    marker: { color: fill, line: { color: line, width: 1 } },
    hoverinfo: "none",
  };
  const left = rows.length - shown.length;
  const notes = [left > 0
    ? `${plural(shown.length, "bar")}, the best; ${left.toLocaleString("en")} more have the figure.`
    : `${plural(shown.length, "bar")}.`];
  return { traces: [trace], layout, notes, key: keyOf(shown, metrics, {}), names: [] };
}

/** Names, with library or device where the name alone would stand twice. */
function labelsOfRows(points, isTimed) {
  const count = (texts) => {
    const counts = new Map();
    for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
    return counts;
  };
  let names = points.map((point) => point.name);
  const once = count(names);
  names = points.map((point, n) => (once.get(names[n]) > 1 && point.library ? `${names[n]} (${point.library})` : names[n]));
  if (!isTimed) return names;
  const twice = count(names);
  return points.map((point, n) => (twice.get(names[n]) > 1 && point.target ? `${names[n]}, ${point.target}` : names[n]));
}

// ---------------------------------------------------------------------------------------------
// Points

const PANELS = {
  "": () => "",
  device: (point) => point.device || "no device",
  dtype: (point) => point.dtype || "no precision",
  setup: (point) => point.setup || "no device",
  runtime: (point) => point.runtime || "no runtime",
  target: (point) => point.target || "no device",
  batch_size: (point) => (point.batch_size === null ? "any batch size" : `batch ${point.batch_size}`),
  family: (point) => point.family,
};

function drawPoints(chart, settings, points, metrics, view) {
  const { theme, width } = view;
  const byPanel = groups(points, PANELS[settings.panels]);
  const order = [...byPanel.keys()].sort(compareNames);
  const panels = order.slice(0, MOST_PANELS).map((name) => ({ name, points: distinct(byPanel.get(name), metrics) }));
  const margin = { l: 66, r: 14, t: settings.panels ? 30 : 10, b: 54 };
  const { cells, height } = panelGrid(panels.length, width, margin);
  const layout = baseLayout(theme, width, height, margin);
  const circles = circleScale(settings.area, panels.length);
  const shown = panels.flatMap((panel) => panel.points);
  const largest = settings.area ? Math.max(...shown.map(circles.diameter)) / 2 : 5;
  const rangesOf = (points) => {
    const range = (metric, isLog, length) => {
      const [low, high] = rangeOf(points.map((p) => shownOf(p, metric)), isLog, Math.min(0.12, largest / length));
      return [chart.from_zero && !isLog ? Math.min(0, low) : low, high];
    };
    return { x: range(settings.x, settings.logX, cells[0].width), y: range(settings.y, settings.logY, cells[0].height) };
  };
  const shared = rangesOf(shown);
  const isTimed = dependsOnTarget(metrics);
  const traces = [];
  const names = [];
  const notes = [];
  panels.forEach((panel, n) => {
    const cell = cells[n];
    const ranges = settings.ownScale ? rangesOf(panel.points) : shared;
    addAxes(layout, cell, settings, ranges, theme);
    if (settings.panels) layout.annotations.push(panelTitle(panel.name, cell, theme));
    // Small circles are drawn over large ones.
    const order = settings.area
      ? [...panel.points].sort((a, b) => valueOf(b, settings.area) - valueOf(a, settings.area))
      : panel.points;
    const axes = { xaxis: `x${cell.suffix}`, yaxis: `y${cell.suffix}` };
    const lines = linesOf(chart, settings, order, ranges, theme, panels.length > 1 ? `${panel.name}: ` : "");
    traces.push(...lines.traces.map((trace) => ({ ...trace, ...axes })));
    notes.push(...lines.notes);
    if (lines.corner) layout.annotations.push(cornerText(lines.corner, cell, theme));
    const { fill, line } = inks(order, metrics, theme);
    const sizes = settings.area ? order.map(circles.diameter) : order.map(() => (order.length > 600 ? 6 : 9));
    traces.push({
      type: "scatter",
      mode: "markers",
      x: order.map((point) => shownOf(point, settings.x)),
      y: order.map((point) => shownOf(point, settings.y)),
      customdata: order.map((point) => point.n),
      marker: {
        color: fill,
        opacity: 1,
        size: sizes,
        symbol: isTimed && SETUPS.length > 1 ? order.map(shapeOf) : "circle",
        line: { color: line, width: 1.3 },
      },
      hoverinfo: "none",
      ...axes,
    });
    if (settings.names) {
      const first = new Set([...lines.front, ...view.best]);
      const marks = order.map((point, k) => ({ point, radius: sizes[k] / 2, isFirst: first.has(point) }));
      names.push({ marks, cell, settings, axes, trace: traces.length, lines: lines.traces, corner: lines.corner, most: MOST_NAMES / panels.length });
      traces.push(nameTrace(axes, theme));
    }
  });
  const left = order.length - panels.length;
  if (left > 0) notes.push(`${plural(left, "panel")} more than can stand side by side were left out.`);
  const outside = shown.filter((p) => (settings.logX && !(shownOf(p, settings.x) > 0)) || (settings.logY && !(shownOf(p, settings.y) > 0)));
  if (outside.length > 0) notes.push(`${plural(outside.length, "value")} of zero or less have no place on a logarithmic axis.`);
  const architectures = new Set(shown.map((point) => point.id)).size;
  notes.unshift(`${plural(shown.length, "point")} of ${plural(architectures, "architecture")}.`);
  const key = keyOf(shown, metrics, {
    shapes: isTimed && SETUPS.length > 1,
    circles: settings.area ? circles : null,
    front: settings.front,
    bound: settings.bound && canBound(settings),
    fit: settings.fit,
  });
  return { traces, layout, notes, key, names };
}

/** Areas in proportion to a metric, the same whatever the filters leave. */
function circleScale(metric, panels) {
  if (!metric) return { diameter: () => 9 };
  const values = POINTS.map((point) => valueOf(point, metric)).filter((value) => value > 0).sort((a, b) => a - b);
  const reference = values[Math.floor((values.length - 1) * 0.97)] ?? 1;
  const largest = panels > 1 ? LARGEST_CIRCLE * 0.7 : LARGEST_CIRCLE;
  const factor = Math.min(largest / Math.sqrt(reference), (2 * largest) / Math.sqrt(values.at(-1) ?? 1));
  return {
    metric,
    diameterOf: (value) => factor * Math.sqrt(value),
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
      if (shown / scale > (values.at(-1) ?? 0) || diameter > LARGEST_CIRCLE * 1.05 || diameter < 4) continue;
      if (found.length > 0 && found.at(-1).diameter < diameter * 1.5) continue;
      found.push({ text: formatSignificant(shown, 4), diameter });
    }
  }
  return found.slice(0, 4).reverse();
}

function addAxes(layout, cell, settings, ranges, theme) {
  const half = Math.max(3, Math.round(cell.width / 80));
  layout[`xaxis${cell.suffix}`] = axis(theme, {
    anchor: `y${cell.suffix}`,
    domain: cell.x,
    type: settings.logX ? "log" : "linear",
    range: [...ranges.x],
    nticks: half,
    ...logTicks(settings.logX, ranges.x),
    ...(cell.isBottom ? { title: axisTitle(axisText(settings.x, settings.logX), theme) } : {}),
  });
  layout[`yaxis${cell.suffix}`] = axis(theme, {
    anchor: `x${cell.suffix}`,
    domain: cell.y,
    type: settings.logY ? "log" : "linear",
    range: [...ranges.y],
    nticks: 7,
    ...logTicks(settings.logY, ranges.y),
    ...(cell.isLeft ? { title: axisTitle(axisText(settings.y, settings.logY), theme) } : {}),
  });
}

/** 1, 2, 5, 10, 20 on a logarithmic axis, written out. */
function logTicks(isLog, range) {
  if (!isLog) return {};
  const span = range[1] - range[0];
  const digits = span > 3.2 ? [1] : span > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const values = [];
  for (let power = Math.floor(range[0]); power <= Math.ceil(range[1]); power += 1) {
    for (const digit of digits) values.push(Number(`${digit}e${power}`));
  }
  return { tickmode: "array", tickvals: values, ticktext: values.map((value) => formatSignificant(value, 4)) };
}

function panelTitle(text, cell, theme) {
  return {
    text: `<b>${plain(text)}</b>`, showarrow: false, xref: "paper", yref: "paper",
    x: cell.x[0], y: cell.y[1], xanchor: "left", yanchor: "bottom", yshift: 6,
    font: { size: 13, color: theme.ink },
  };
}

function cornerText(text, cell, theme) {
  return {
    text: plain(text), showarrow: false, xref: "paper", yref: "paper",
    x: cell.x[0], y: cell.y[1], xanchor: "left", yanchor: "top", xshift: 8, yshift: -6,
    font: { size: 12, color: theme.ink }, bgcolor: `${theme.paper}cc`,
  };
}

function canBound(settings) {
  return !LOWER_IS_BETTER.has(settings.x) && !LOWER_IS_BETTER.has(settings.y);
}

/** Fitted line, upper bound and front of one panel, for each device and precision in it. */
function linesOf(chart, settings, points, ranges, theme, panel) {
  const traces = [];
  const notes = [];
  const front = [];
  let corner = "";
  const bySetup = groups(points, (point) => point.setup);
  for (const [setup, members] of bySetup) {
    const place = `${panel}${bySetup.size > 1 && setup ? `${setup}: ` : ""}`;
    const xs = members.map((point) => shownOf(point, settings.x));
    const ys = members.map((point) => shownOf(point, settings.y));
    if (settings.fit) {
      const isLog = settings.logX && settings.logY;
      const [fx, fy] = isLog ? [xs.map(Math.log10), ys.map(Math.log10)] : [xs, ys];
      const fit = fitLine(fx, fy);
      if (fit) {
        const at = (x) => (isLog ? 10 ** (fit.intercept + fit.slope * Math.log10(x)) : fit.intercept + fit.slope * x);
        traces.push(curve(at, Math.min(...xs), Math.max(...xs), settings, { color: theme.muted, width: 1.4, dash: "dash" }));
        const r = `r = ${fit.correlation.toFixed(3).replace("-", "−")}`;
        corner = bySetup.size === 1 ? r : `${corner}${corner ? ", " : ""}${setup} ${r}`;
        const isRate = chart.slope && !isLog && settings.x === chart.x && settings.y === chart.y;
        const rate = isRate ? `, ${formatSignificant(fit.slope * chart.slope[0], 3)} ${chart.slope[1]}` : "";
        notes.push(`${place}Fitted line over ${plural(fit.count, "point")}, Pearson’s ${r}${isLog ? " of the logarithms" : ""}${rate}.`);
      } else {
        notes.push(`${place}Too few different points for a fitted line.`);
      }
    }
    if (settings.bound && canBound(settings)) {
      const bound = upperBound(xs, ys);
      if (bound) {
        const at = (x) => bound.intercept + bound.slope * x;
        const ends = ranges.x.map((end) => (settings.logX ? 10 ** end : end));
        traces.push(curve(at, ends[0], ends[1], settings, { color: theme.muted, width: 1.4, dash: "dot" }, ranges.y));
        const sign = bound.slope < 0 ? "−" : "+";
        const slope = formatSignificant(Math.abs(bound.slope), 3);
        notes.push(`${place}Upper bound ${formatSignificant(bound.intercept, 4)} ${sign} ${slope} × ${titleOf(settings.x)}.`);
      }
    }
    if (settings.front) {
      const found = paretoFront(members, settings.x, settings.y);
      front.push(...found.members);
      if (found.members.length > 0) {
        const line = [...found.members].sort((a, b) => shownOf(a, settings.x) - shownOf(b, settings.x));
        traces.push({
          type: "scatter", mode: "lines", hoverinfo: "skip",
          x: line.map((point) => shownOf(point, settings.x)),
          y: line.map((point) => shownOf(point, settings.y)),
          line: { color: theme.ink, width: 1.4 },
        });
        notes.push(`${place}On the front, by more than the measuring error: ${listOf(line)}.`);
      }
      if (found.undecided.length > 0) {
        notes.push(`${place}Dominated by none, but better by less than the measuring error: ${listOf(found.undecided)}.`);
      }
    }
  }
  return { traces, notes, front, corner };
}

function listOf(points) {
  const most = 12;
  const listed = points.slice(0, most).map((point) => point.name).join(", ");
  return points.length > most ? `${listed} and ${points.length - most} more` : listed;
}

/** A line y = at(x), sampled, as it is bent on a logarithmic axis. */
function curve(at, low, high, settings, line, within = null) {
  const xs = [];
  const ys = [];
  const [start, end] = settings.logX ? [Math.log10(low), Math.log10(high)] : [low, high];
  for (let n = 0; n <= 80; n += 1) {
    const place = start + ((end - start) * n) / 80;
    const x = settings.logX ? 10 ** place : place;
    const y = at(x);
    const height = settings.logY ? Math.log10(y) : y;
    if (!Number.isFinite(height) || (within && height < within[0])) continue;
    xs.push(x);
    ys.push(y);
  }
  return { type: "scatter", mode: "lines", x: xs, y: ys, line, hoverinfo: "skip" };
}

// ---------------------------------------------------------------------------------------------
// Names beside points

function nameTrace(axes, theme) {
  return {
    type: "scatter", mode: "text", x: [], y: [], text: [], textposition: "middle center",
    textfont: { size: 11, color: theme.ink, family: theme.font }, hoverinfo: "skip", cliponaxis: true, ...axes,
  };
}

/**
 * Names at places where they meet neither each other nor a mark; a name that has no such place is
 * left out, and hovering tells it. The front and the best come first.
 */
function placeNames(group, ranges, theme) {
  const { marks, cell, settings, lines = [], corner = "", most = MOST_NAMES } = group;
  const toPixels = (value, isLog, range, length) => (((isLog ? Math.log10(value) : value) - range[0]) / (range[1] - range[0])) * length;
  const toValue = (pixels, isLog, range, length) => {
    const place = range[0] + (pixels / length) * (range[1] - range[0]);
    return isLog ? 10 ** place : place;
  };
  const seen = marks
    .map((mark) => ({
      ...mark,
      x: toPixels(mark.x ?? shownOf(mark.point, settings.x), settings.logX, ranges.x, cell.width),
      y: toPixels(mark.y ?? shownOf(mark.point, settings.y), settings.logY, ranges.y, cell.height),
    }))
    .filter((mark) => mark.x >= 0 && mark.x <= cell.width && mark.y >= 0 && mark.y <= cell.height);
  const boxes = new Boxes();
  for (const { x, y, radius } of seen) {
    const r = radius * 0.75 + 1;
    boxes.add([x - r, y - r, x + r, y + r]);
  }
  for (const line of lines) {
    addLine(boxes, line.x.map((x, n) => [
      toPixels(x, settings.logX, ranges.x, cell.width), toPixels(line.y[n], settings.logY, ranges.y, cell.height),
    ]));
  }
  if (corner) boxes.add([0, cell.height - 24, widthOf(corner, 12, theme.font) + 14, cell.height]);
  const order = [...seen].sort((a, b) => b.isFirst - a.isFirst || b.radius - a.radius || b.y - a.y);
  const result = { x: [], y: [], text: [] };
  for (const mark of order.slice(0, 3 * most)) {
    if (result.text.length >= most) break;
    const text = shortened(mark.point.name, 170, 11, theme.font);
    const box = freeBox(mark, widthOf(text, 11, theme.font) + 4, 13, cell, boxes);
    if (box === null) continue;
    boxes.add(box);
    result.x.push(toValue((box[0] + box[2]) / 2, settings.logX, ranges.x, cell.width));
    result.y.push(toValue((box[1] + box[3]) / 2, settings.logY, ranges.y, cell.height));
    result.text.push(plain(text));
  }
  return result;
}

/** A drawn line as small boxes along it. */
function addLine(boxes, places) {
  for (let n = 1; n < places.length; n += 1) {
    const [[x0, y0], [x1, y1]] = [places[n - 1], places[n]];
    const steps = Math.min(400, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 4)) || 1;
    for (let step = 0; step <= steps; step += 1) {
      const x = x0 + ((x1 - x0) * step) / steps;
      const y = y0 + ((y1 - y0) * step) / steps;
      boxes.add([x - 1, y - 1, x + 1, y + 1]);
    }
  }
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
      const cell = this.cells.get(key);
      if (cell) cell.push(box);
      else this.cells.set(key, [box]);
    }
  }

  meets([left, bottom, right, top]) {
    for (const key of this.keys([left, bottom, right, top])) {
      for (const box of this.cells.get(key) ?? []) {
        if (left < box[2] && right > box[0] && bottom < box[3] && top > box[1]) return true;
      }
    }
    return false;
  }
}

// ---------------------------------------------------------------------------------------------
// Lines against batch size

function drawBatch(chart, settings, points, metrics, view) {
  const { theme, width } = view;
  const sizes = [...new Set(points.map((point) => point.batch_size))].sort((a, b) => a - b);
  if (sizes.length < 2) {
    return { sentence: `Only batch size ${sizes[0]} was measured. Several are measured by pytest benchmarks --batch-size=1,4,8.` };
  }
  const series = seriesOf(points);
  if (series.length === 0) return { sentence: "No architecture was measured at two batch sizes on one device." };
  const rank = (members) => valueOf(members[0], "top1") ?? -1;
  series.sort((a, b) => rank(b) - rank(a));
  const drawn = series.slice(0, MOST_LINES);
  const margin = { l: 66, r: 14, t: 30, b: 54 };
  const { cells, height } = panelGrid(metrics.length, width, margin);
  const layout = baseLayout(theme, width, height, margin);
  const traces = [];
  const names = [];
  const rangeX = rangeOf(sizes, true, 0.02);
  rangeX[1] += (rangeX[1] - rangeX[0]) * 0.22;
  metrics.forEach((metric, n) => {
    const cell = cells[n];
    const values = drawn.flat().filter((point) => point.figures[metric]).map((point) => shownOf(point, metric));
    const panel = { x: "batch", y: metric, logX: true, logY: settings.logY };
    layout[`xaxis${cell.suffix}`] = axis(theme, {
      anchor: `y${cell.suffix}`, domain: cell.x, type: "log", range: rangeX, tickmode: "array",
      tickvals: sizes, ticktext: sizes.map(String), ...(cell.isBottom ? { title: axisTitle("batch size", theme) } : {}),
    });
    const rangeY = rangeOf(values, settings.logY, 0.02);
    layout[`yaxis${cell.suffix}`] = axis(theme, {
      anchor: `x${cell.suffix}`, domain: cell.y, type: settings.logY ? "log" : "linear",
      range: rangeY, nticks: 7, ...logTicks(settings.logY, rangeY),
    });
    layout.annotations.push(panelTitle(titleOf(metric), cell, theme));
    const axes = { xaxis: `x${cell.suffix}`, yaxis: `y${cell.suffix}` };
    const ends = [];
    for (const members of drawn) {
      const line = members.filter((point) => point.figures[metric]).sort((a, b) => a.batch_size - b.batch_size);
      if (line.length === 0) continue;
      const { fill, line: ink } = inks(line, [metric], theme);
      traces.push({
        type: "scatter",
        mode: "lines+markers",
        x: line.map((point) => point.batch_size),
        y: line.map((point) => shownOf(point, metric)),
        customdata: line.map((point) => point.n),
        line: { color: ink[0], width: 1.3 },
        marker: { color: fill, size: 7, symbol: SETUPS.length > 1 ? shapeOf(line[0]) : "circle", line: { color: ink, width: 1.3 } },
        hoverinfo: "none",
        ...axes,
      });
      const last = line.at(-1);
      ends.push({ point: last, x: last.batch_size, y: shownOf(last, metric), radius: 4, isFirst: view.best.includes(last), isEnd: true });
    }
    if (settings.names) {
      names.push({ marks: ends, cell, settings: panel, axes, trace: traces.length });
      traces.push(nameTrace(axes, theme));
    }
  });
  const left = series.length - drawn.length;
  const absent = [settings.y, settings.second].filter((metric) => !metrics.includes(metric));
  const notes = [`${plural(drawn.length, "line")}${left > 0 ? `, those with the best top-1; ${left.toLocaleString("en")} more can be had by filtering` : ""}.`];
  for (const metric of absent) notes.push(`No source has figures of ${nounOf(metric)}. ${HOW_TO_GET[metric] ?? ELSEWHERE}`);
  const key = keyOf(drawn.flat(), metrics, { shapes: SETUPS.length > 1 });
  return { traces, layout, notes, key, names };
}

/** Cells that differ in batch size only, from one run where several runs measured the same ones. */
function seriesOf(points) {
  const series = [];
  for (const members of groups(points, (point) => [point.id, point.name, point.setup, point.threads].join("\n")).values()) {
    const sizes = new Set(members.map((point) => point.batch_size));
    if (sizes.size < 2) continue;
    if (sizes.size === members.length) series.push(members);
    else series.push(...[...groups(members, (point) => point.run).values()].filter((part) => part.length > 1));
  }
  return series;
}

// ---------------------------------------------------------------------------------------------
// History

function drawHistory(settings, view) {
  const { theme, width } = view;
  const entries = (DATA.history[settings.cell] ?? []).filter((entry) => entry.metric === settings.historyMetric && Number.isFinite(entry.value));
  if (entries.length === 0) return { sentence: "No stored run has this figure of a cell that the search finds." };
  const metric = METRICS[settings.historyMetric] ?? { title: settings.historyMetric, scale: 1, digits: 4 };
  const areDates = entries.every((entry) => /^\d{4}-\d\d-\d\d/.test(entry.when ?? ""));
  const xs = entries.map((entry, n) => (areDates ? entry.when.slice(0, 19) : n));
  const ys = entries.map((entry) => entry.value * metric.scale);
  const margin = { l: 66, r: 18, t: 26, b: 54 };
  const layout = baseLayout(theme, width, width < 620 ? 380 : 480, margin);
  layout.xaxis = axis(theme, areDates
    ? { type: "date", title: axisTitle("date of the run", theme), nticks: Math.max(3, Math.round(width / 150)) }
    : { tickmode: "array", tickvals: xs, ticktext: entries.map((entry) => plain(String(entry.commit ?? "").slice(0, 9))), title: axisTitle("commit", theme) });
  layout.yaxis = axis(theme, { title: axisTitle(metric.title, theme), rangemode: "tozero", nticks: 7 });
  const colour = theme.accent;
  const changes = entries.map((entry, n) => ({ ...entry, n })).filter((entry) => entry.change_point);
  for (const change of changes) {
    layout.shapes.push({
      type: "line", xref: "x", yref: "paper", x0: xs[change.n], x1: xs[change.n], y0: 0, y1: 1,
      line: { color: theme.warning, width: 1.4, dash: "dash" },
    });
    layout.annotations.push({
      text: plain(`change at ${String(change.commit ?? change.when).slice(0, 9)}`), xref: "x", yref: "paper", x: xs[change.n], y: 1,
      yanchor: "bottom", showarrow: false, font: { size: 11, color: theme.warning },
    });
  }
  const trace = {
    type: "scatter", mode: "lines+markers", x: xs, y: ys,
    customdata: entries.map((_, n) => n),
    line: { color: colour, width: 1.4 },
    marker: {
      size: entries.map((entry) => (entry.change_point ? 11 : 7)),
      color: entries.map((entry) => (entry.change_point ? theme.warning : colour)),
    },
    hoverinfo: "none",
  };
  const notes = [`${plural(entries.length, "run")}, ${changes.length === 0 ? "no change point" : plural(changes.length, "change point")}.`];
  return { traces: [trace], layout, notes, key: [], names: [], entries };
}

// ---------------------------------------------------------------------------------------------

/** What marks mean, for the key under a chart. */
function keyOf(points, metrics, { shapes = false, circles = null, front = false, bound = false, fit = false }) {
  const key = [];
  const published = points.some((point) => isPublished(point, metrics));
  const own = points.some((point) => !isPublished(point, metrics));
  if (own) key.push({ mark: "filled", text: "measured or counted here" });
  if (published) key.push({ mark: "open", text: publishedText(points, metrics) });
  if (shapes) {
    for (const setup of new Set(points.map((point) => point.setup))) {
      key.push({ mark: SHAPES[SETUPS.indexOf(setup) % SHAPES.length], text: setup || "no device" });
    }
  }
  if (circles) key.push({ mark: "circles", circles: circles.examples, text: titleOf(circles.metric) });
  if (front) key.push({ mark: "line", text: "Pareto front" });
  if (bound) key.push({ mark: "dots", text: "upper bound" });
  if (fit) key.push({ mark: "dashes", text: "fitted line" });
  return key;
}

/** `published: top-1 %`: which figures of the marks were printed by others. */
function publishedText(points, metrics) {
  const names = metrics.filter((metric) => points.some((point) => kindOf(point, metric) === "published"));
  return `published: ${[...new Set(names)].map(titleOf).join(", ")}`;
}

/** Traces, layout, notes, key and names of a chart; or a sentence why there is none. */
function draw(chart, settings, points, view) {
  if (chart.form === "history") return drawHistory(settings, view);
  const found = drawable(chart, settings, points);
  if (found.sentence) return found;
  const forms = { bars: drawBars, points: drawPoints, batch: drawBatch };
  return forms[chart.form](chart, settings, found.points, found.metrics, view);
}
