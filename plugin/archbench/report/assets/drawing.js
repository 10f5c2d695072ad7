// Drawing: from points to what Plotly draws. Nothing here reads controls or changes the page.

// What each shows is declared in archbench/report/charts/declared.py.
const CHARTS = DATA.charts;

/** Traces, layout, notes, key and names of a chart; or a sentence why there is none. */
function draw(chart, settings, points, view) {
  if (chart.form === "history") return drawHistory(settings, view);
  const found = drawable(chart, settings, points);
  if (found.sentence) return found;
  const forms = { bars: drawBars, points: drawPoints, batch: drawBatch };
  const { points: chosen, metrics } = found;
  const made = forms[chart.form](chart, settings, chosen, metrics, view);
  const noisy = chosen.filter((point) => metrics.some((metric) => isNoisy(point, metric)));
  if (noisy.length > 0) {
    made.notes.push(`~ too noisy to trust: ${count(noisy.length)} of ${count(chosen.length)}.`);
  }
  return made;
}

/** The points that have all of the chart's figures, or a sentence that says what is missing. */
function drawable(chart, settings, points) {
  const metrics = metricsOf(chart, settings);
  const isBatch = chart.form === "batch";
  const absent = metrics.filter((metric) => !PRESENT.includes(metric));
  if (ROWS.length === 0) {
    return { sentence: "There are no figures: no run and no table was given." };
  }
  if (absent.length > 0 && !(isBatch && absent.length === 1)) {
    return { sentence: absentText(absent) };
  }
  const needed = metrics.filter((metric) => !absent.includes(metric));
  const has = (point) => isBatch
    ? point.batch_size !== null && needed.some((metric) => point.values[metric])
    : needed.every((metric) => point.values[metric]);
  if (!ROWS.some(has)) {
    return { sentence: `No architecture has ${nounsOf(needed)} together.` };
  }
  const found = points.filter(has);
  if (found.length === 0) return { sentence: "The filters leave nothing to draw here." };
  const size = settings.batch;
  const chosen = found.filter(
    (point) => !size || point.batch_size === null || point.batch_size === Number(size));
  if (chosen.length === 0) {
    return { sentence: `The filters leave nothing to draw here at batch size ${size}.` };
  }
  return { points: chosen, metrics: needed };
}

function nounsOf(metrics) {
  return metrics.map((metric) => METRICS[metric].noun).join(" and ");
}

function absentText(metrics) {
  return `No source has figures of ${nounsOf(metrics)}. ${METRICS[metrics[0]].how}`;
}

function metricsOf(chart, settings) {
  if (chart.form === "bars") return [settings.x];
  if (chart.form === "batch") return [settings.y, settings.second];
  return [settings.x, settings.y, settings.area].filter(Boolean);
}

/** Cells that differ in nothing that the chart shows are one mark. */
function distinct(points, metrics) {
  const seen = new Set();
  const hasRun = dependsOnRun(metrics);
  return points.filter((point) => {
    const values = metrics.map((metric) => valueOf(point, metric));
    const key = [point.id, point.name, hasRun ? point.setup : "", ...values].join("\n");
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** Whether the metrics differ between devices, so that the device has to be said. */
function dependsOnRun(metrics) {
  return metrics.some((metric) => METRICS[metric]?.of === "run");
}

function groups(items, keyOfItem) {
  const found = new Map();
  for (const item of items) {
    const key = keyOfItem(item);
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(item);
  }
  return found;
}

function drawBars(chart, settings, points, metrics, view) {
  const { theme, width } = view;
  const metric = settings.x;
  const rows = distinct(points, metrics);
  const sign = METRICS[metric].isLower ? 1 : -1;
  const byValue = (a, b) => sign * (valueOf(a, metric) - valueOf(b, metric));
  const orders = {
    value: byValue,
    name: (a, b) => compareNames(a.name, b.name) || byValue(a, b),
    family: (a, b) => compareNames(a.family, b.family) || byValue(a, b),
  };
  rows.sort(byValue);
  const shown = rows.slice(0, Number(settings.most) || rows.length)
    .sort(orders[settings.order]);
  const names = namesOfBars(shown, dependsOnRun([metric]));
  const longest = (texts, size) =>
    Math.max(...texts.map((text) => widthOf(text, size, theme.font)));
  const room = Math.min(width * 0.42, longest(names, 12) + 14);
  const values = shown.map((point) => shownOf(point, metric));
  const texts = shown.map((point) => textOf(point, metric));
  const margin = { l: Math.ceil(room), r: Math.ceil(longest(texts, 11) + 12), t: 8, b: 48 };
  const { line } = inks(shown, metrics, theme);
  const strength = (point) => (isPublished(point, metrics) ? 0.3 : 0.88);
  const fill = shown.map((point, n) => onPaper(line[n], strength(point), theme));
  const places = shown.map((_, n) => n);
  const height = shown.length * 21 + margin.t + margin.b;
  const layout = { ...baseLayout(theme, width, height, margin), bargap: 0.28 };
  layout.xaxis = axis(theme, METRICS[metric].axis, {
    range: [Math.min(0, ...values), Math.max(0, ...values) || 1],
  });
  layout.yaxis = axis(theme, "", {
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
  const more = left > 0 ? `, the best; ${count(left)} more have the figure` : "";
  const notes = [`${plural(shown.length, "bar")}${more}.`];
  return { traces: [trace], layout, notes, key: keyOf(shown, metrics, {}), names: [] };
}

/** Names, with library or device where the name alone would stand twice. */
function namesOfBars(points, hasRun) {
  const apart = (names, more) => {
    const times = groups(names, (name) => name);
    return names.map((name, n) => (times.get(name).length > 1 ? more(name, points[n]) : name));
  };
  const names = apart(points.map((point) => point.name), (name, { library }) =>
    (library ? `${name} (${library})` : name));
  if (!hasRun) return names;
  return apart(names, (name, { target }) => (target ? `${name}, ${target}` : name));
}
