// Lines: against batch size, and over stored runs.

const MOST_LINES = 40;

function drawBatch(chart, settings, points, metrics, view) {
  const { theme, width } = view;
  const sizes = unique(points.map((point) => point.batch_size)).sort((a, b) => a - b);
  if (sizes.length < 2) {
    return {
      sentence: `Only batch size ${sizes[0]} was measured. Several are measured by ` +
        "pytest benchmarks --batch-size=1,4,8.",
    };
  }
  const series = seriesOf(points);
  if (series.length === 0) {
    return { sentence: "No architecture was measured at two batch sizes on one device." };
  }
  const rank = (members) => valueOf(members[0], "top1") ?? -1;
  series.sort((a, b) => rank(b) - rank(a));
  const drawn = series.slice(0, MOST_LINES);
  const { cells, height } = panelGrid(metrics.length, width, BATCH_MARGIN);
  const layout = baseLayout(theme, width, height, BATCH_MARGIN);
  const drawing = { traces: [], layout, notes: [], names: [] };
  metrics.forEach((metric, n) => {
    drawLines(drawing, drawn, { metric, cell: cells[n], sizes, settings, view });
  });
  const left = series.length - drawn.length;
  const more = left > 0
    ? `, those with the best top-1; ${count(left)} more can be had by filtering` : "";
  drawing.notes.push(`${plural(drawn.length, "line")}${more}.`);
  for (const metric of [settings.y, settings.second].filter((one) => !metrics.includes(one))) {
    drawing.notes.push(absentText([metric]));
  }
  drawing.key = keyOf(drawn.flat(), metrics, { shapes: SETUPS.length > 1 });
  return drawing;
}

const BATCH_MARGIN = { l: 66, r: 14, t: 30, b: 54 };

/** One panel: a line for each architecture, with its name at the right end. */
function drawLines(drawing, series, { metric, cell, sizes, settings, view }) {
  const { theme } = view;
  const has = (point) => point.values[metric];
  const lines = series.map((members) => members.filter(has)).filter((line) => line.length > 0);
  const values = lines.flat().map((point) => shownOf(point, metric));
  const [low, high] = rangeOf(sizes, true, 0.02);
  const x = {
    title: "batch size", isLog: true, range: [low, high + (high - low) * 0.22],
    tickvals: sizes, ticktext: sizes.map(String),
  };
  const y = { title: "", isLog: settings.logY, range: rangeOf(values, settings.logY, 0.02) };
  const axes = addAxes(drawing.layout, cell, { x, y }, theme);
  drawing.layout.annotations.push(panelTitle(METRICS[metric].title, cell, theme));
  const ends = [];
  for (const line of lines) {
    line.sort((a, b) => a.batch_size - b.batch_size);
    const { fill, line: ink } = inks(line, [metric], theme);
    drawing.traces.push({
      type: "scatter",
      mode: "lines+markers",
      x: line.map((point) => point.batch_size),
      y: line.map((point) => shownOf(point, metric)),
      customdata: line.map((point) => point.n),
      line: { color: ink[0], width: 1.3 },
      marker: {
        color: fill, size: 7, symbol: SETUPS.length > 1 ? shapeOf(line[0]) : "circle",
        line: { color: ink, width: 1.3 },
      },
      hoverinfo: "none",
      ...axes,
    });
    const point = line.at(-1);
    ends.push({
      point, x: point.batch_size, y: shownOf(point, metric), radius: 4,
      isFirst: view.best.includes(point), isEnd: true,
    });
  }
  if (!settings.names) return;
  const isLog = { x: true, y: settings.logY };
  drawing.names.push({ marks: ends, cell, axes, trace: drawing.traces.length, isLog });
  drawing.traces.push(nameTrace(axes, theme));
}

/** Cells that differ in batch size only, of one run where several runs measured the same ones. */
function seriesOf(points) {
  const keyOfLine = (point) => [point.id, point.name, point.setup, point.threads].join("\n");
  return [...groups(points, keyOfLine).values()].flatMap((members) => {
    const sizes = unique(members.map((point) => point.batch_size));
    if (sizes.length === members.length) return sizes.length > 1 ? [members] : [];
    return [...groups(members, (point) => point.run).values()].filter((part) => part.length > 1);
  });
}

function drawHistory(settings, view) {
  const { theme, width } = view;
  const isShown = ({ metric, value }) => metric === settings.metric && Number.isFinite(value);
  const entries = (DATA.history[settings.cell] ?? []).filter(isShown);
  if (entries.length === 0) {
    return { sentence: "No stored run has this figure of a cell that the search finds." };
  }
  const { title, scale } = METRICS[settings.metric] ?? { title: settings.metric, scale: 1 };
  const areDates = entries.every((entry) => /^\d{4}-\d\d-\d\d/.test(entry.when ?? ""));
  const xs = entries.map((entry, n) => (areDates ? entry.when.slice(0, 19) : n));
  const layout = baseLayout(theme, width, width < 620 ? 380 : 480, { l: 66, r: 18, t: 26, b: 54 });
  const commits = entries.map((entry) => plain(String(entry.commit ?? "").slice(0, 9)));
  layout.xaxis = axis(theme, areDates ? "date of the run" : "commit", areDates
    ? { type: "date", nticks: Math.max(3, Math.round(width / 150)) }
    : { tickmode: "array", tickvals: xs, ticktext: commits });
  layout.yaxis = axis(theme, title, { rangemode: "tozero", nticks: 7 });
  const changes = entries.map((entry, n) => ({ ...entry, x: xs[n] }))
    .filter((entry) => entry.change_point);
  for (const { commit, when, x } of changes) {
    layout.shapes.push({
      type: "line", xref: "x", yref: "paper", x0: x, x1: x, y0: 0, y1: 1,
      line: { color: theme.warning, width: 1.4, dash: "dash" },
    });
    layout.annotations.push({
      text: plain(`change at ${String(commit ?? when).slice(0, 9)}`),
      xref: "x", yref: "paper", x, y: 1, yanchor: "bottom", showarrow: false,
      font: { size: 11, color: theme.warning },
    });
  }
  const isChange = entries.map((entry) => entry.change_point);
  const trace = {
    type: "scatter", mode: "lines+markers", x: xs, y: entries.map(({ value }) => value * scale),
    customdata: entries.map((_, n) => n),
    line: { color: theme.accent, width: 1.4 },
    marker: {
      size: isChange.map((is) => (is ? 11 : 7)),
      color: isChange.map((is) => (is ? theme.warning : theme.accent)),
    },
    hoverinfo: "none",
  };
  const found = changes.length === 0 ? "no change point" : plural(changes.length, "change point");
  const notes = [`${plural(entries.length, "run")}, ${found}.`];
  return { traces: [trace], layout, notes, key: [], names: [], entries };
}
