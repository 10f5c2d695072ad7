// The chart that is shown: its tab, its controls, its key, and what the mouse does in it.

const PLOT_OPTIONS = {
  displayModeBar: false, displaylogo: false, doubleClick: "reset", responsive: false,
};
let drawn = null;

function firstSettings(chart) {
  const isPoints = chart.form === "points";
  const isBatch = chart.form === "batch";
  // All batch sizes in one panel could not be told apart.
  const isOfOneSize = isPoints && !chart.apart && dependsOnRun(chart.metrics);
  const sizes = batchSizes();
  return {
    x: chart.x, y: isBatch ? chart.x : chart.y, second: chart.y, area: chart.area,
    logX: chart.log_x ?? (isPoints && isWide(chart.x)), logY: chart.log_y,
    panels: chart.apart ? "target" : "",
    batch: sizes.length > 1 && (chart.smallest_batch || isOfOneSize) ? String(sizes[0]) : "",
    ownScale: chart.apart, fit: chart.fit, front: chart.front, bound: chart.bound,
    names: true, most: "40", order: "value", cell: "", metric: "",
  };
}

/** Whether values span more than a factor of 20, as archbench.report.charts.canvas has it. */
function isWide(metric) {
  const values = ROWS.map((point) => valueOf(point, metric))
    .filter((value) => value !== undefined);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low > 0 && high / low > 20;
}

function batchSizes() {
  return unique(ROWS.map((point) => point.batch_size))
    .filter((size) => size !== null).sort((a, b) => a - b);
}

function buildTabs() {
  for (const chart of CHARTS) {
    byId("tabs").append(element("button", {
      type: "button", role: "tab", id: `tab-${chart.name}`, "aria-controls": "panel",
      onclick: () => chooseChart(chart), onkeydown: moveBetweenTabs,
    }, chart.tab));
    byId("pick").append(element("option", { value: chart.name }, chart.title));
  }
  byId("pick").addEventListener("change", ({ target }) =>
    chooseChart(CHARTS.find((chart) => chart.name === target.value)));
}

function moveBetweenTabs(event) {
  const last = CHARTS.length - 1;
  const place = CHARTS.indexOf(state.chart);
  const to = {
    ArrowRight: place === last ? 0 : place + 1, ArrowLeft: place === 0 ? last : place - 1,
    Home: 0, End: last,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  chooseChart(CHARTS[to]);
  byId(`tab-${CHARTS[to].name}`).focus();
}

function chooseChart(chart) {
  state.chart = chart;
  history.replaceState(null, "", `#${chart.name}`);
  markTab();
  buildAxes();
  showChart();
}

function markTab() {
  for (const chart of CHARTS) {
    const isOn = chart === state.chart;
    const tab = byId(`tab-${chart.name}`);
    tab.setAttribute("aria-selected", String(isOn));
    tab.tabIndex = isOn ? 0 : -1;
  }
  byId("pick").value = state.chart.name;
  byId("panel").setAttribute("aria-labelledby", `tab-${state.chart.name}`);
  byId("chart-title").textContent = state.chart.title;
  byId("chart-text").textContent = state.chart.text;
}

/** The controls of the chosen chart. */
function buildAxes() {
  const settings = state.settings[state.chart.name];
  const change = (name) => ({ target }) => {
    settings[name] = target.type === "checkbox" ? target.checked : target.value;
    if (name === "cell" || name === "panels") {
      buildAxes();
      byId(`set-${name}`).focus();
    }
    showChart();
  };
  const select = (name, label, options) => {
    const made = options.map(([value, text]) =>
      element("option", { value, selected: String(settings[name]) === value }, text));
    return element("label", { class: "inline" }, element("span", {}, label),
      element("select", { id: `set-${name}`, onchange: change(name) }, ...made));
  };
  const check = (name, label) => {
    const options = { checked: settings[name], onchange: change(name) };
    return element("label", { class: "check" },
      element("input", { type: "checkbox", id: `set-${name}`, ...options }),
      element("span", {}, label));
  };
  const controls = { bars: barControls, points: pointControls, batch: batchControls };
  const build = controls[state.chart.form] ?? historyControls;
  byId("axes").replaceChildren(...build(select, check, settings));
}

/** Metrics to choose from: the chart's own stay among them where no source has them. */
function metricOptions() {
  const own = metricsOf(state.chart, firstSettings(state.chart));
  return Object.keys(METRICS)
    .filter((metric) => PRESENT.includes(metric) || own.includes(metric))
    .map((metric) => [metric, METRICS[metric].title]);
}

function sizeControl(select) {
  const sizes = batchSizes().map((size) => [String(size), String(size)]);
  return sizes.length > 1 ? [select("batch", "Batch size", [["", "any"], ...sizes])] : [];
}

function barControls(select) {
  const orders = [["value", "best first"], ["name", "name"], ["family", "family"]];
  return [
    select("x", "Figure", metricOptions()), select("order", "Order", orders),
    select("most", "Bars", [["40", "40"], ["100", "100"], ["", "all"]]), ...sizeControl(select),
  ];
}

function pointControls(select, check, settings) {
  const metrics = metricOptions();
  const panels = Object.entries(PANELS).map(([name, [title]]) => [name, title]);
  return [
    select("x", "Across", metrics), check("logX", "log"),
    select("y", "Up", metrics), check("logY", "log"),
    select("area", "Circle area", [["", "equal"], ...metrics]),
    select("panels", "Side by side", [["", "all in one"], ...panels]),
    ...(settings.panels === "" ? [] : [check("ownScale", "own scales")]),
    ...sizeControl(select), check("names", "names"), check("fit", "fitted line"),
    check("front", "Pareto front"), check("bound", "upper bound"),
  ];
}

function batchControls(select, check) {
  const metrics = metricOptions();
  return [
    select("y", "Left", metrics), select("second", "Right", metrics), check("logY", "log"),
    check("names", "names"),
  ];
}

function historyControls(select, _, settings) {
  const isFound = (cell) => cell.toLowerCase().includes(state.search.toLowerCase());
  const cells = Object.keys(DATA.history).filter(isFound);
  if (!cells.includes(settings.cell)) settings.cell = cells[0] ?? "";
  const found = unique((DATA.history[settings.cell] ?? []).map((entry) => entry.metric));
  if (!found.includes(settings.metric)) settings.metric = found[0] ?? "";
  return [
    select("cell", "Cell", cells.map((cell) => [cell, cell])),
    select("metric", "Figure", found.map((name) => [name, METRICS[name]?.title ?? name])),
  ];
}

function showChart() {
  if (state.chart.form === "history") buildAxes();
  hideTip();
  const { chart } = state;
  const plot = byId("plot");
  const theme = currentTheme();
  const view = {
    theme, width: Math.floor(byId("panel").clientWidth), best: bestOf(shown, state.best),
  };
  drawn = draw(chart, state.settings[chart.name], shown, view);
  const isDrawn = drawn.sentence === undefined;
  byId("sentence").hidden = isDrawn;
  byId("sentence").textContent = drawn.sentence ?? "";
  for (const id of ["picture", "key", "chart-note", "tools"]) byId(id).hidden = !isDrawn;
  byId("families").hidden = chart.form === "history" || FAMILY_SIZES.length < 2;
  if (!isDrawn) {
    Plotly.purge(plot);
    plot.replaceChildren();
    plot.dataset.drawn = "";
    return;
  }
  for (const names of drawn.names) fillNames(names, theme);
  byId("chart-note").replaceChildren(...drawn.notes.map((note) => element("p", {}, note)));
  byId("key").replaceChildren(...drawn.key.map((entry) => keyEntry(entry, theme)));
  Plotly.react(plot, drawn.traces, drawn.layout, PLOT_OPTIONS).then(() => {
    if (state.chart === chart) plot.dataset.drawn = chart.name;
    // Plotly measures texts in a drawing outside the page's view, which nobody should read out.
    byId("js-plotly-tester")?.setAttribute("aria-hidden", "true");
  });
  if (!plot.dataset.listens) listenToPlot(plot);
}

/** Names at free places for what is visible: the layout's ranges, or those zoomed to. */
function fillNames(names, theme) {
  const layout = drawn.isZoomed ? byId("plot").layout : drawn.layout;
  const range = (letter) =>
    layout[names.axes[`${letter}axis`].replace(letter, `${letter}axis`)].range;
  Object.assign(
    drawn.traces[names.trace], placeNames(names, { x: range("x"), y: range("y") }, theme));
}

function listenToPlot(plot) {
  plot.dataset.listens = "yes";
  plot.on("plotly_hover", showTip);
  plot.on("plotly_unhover", hideTip);
  plot.on("plotly_click", (event) => {
    const point = pointOf(event);
    if (point) showDetails(point);
  });
  plot.on("plotly_relayout", (changes) => {
    const isRange = (key) => /^[xy]axis\d*\.(range|autorange)/.test(key);
    if (!Object.keys(changes).some(isRange) || !drawn?.names?.length) return;
    drawn.isZoomed = true;
    for (const names of drawn.names) fillNames(names, currentTheme());
    const places = drawn.names.map((names) => names.trace);
    const all = (key) => places.map((place) => drawn.traces[place][key]);
    Plotly.restyle(plot, { x: all("x"), y: all("y"), text: all("text") }, places);
  });
}

function pointOf(event) {
  const number = event.points[0]?.customdata;
  return state.chart.form === "history" || number === undefined ? null : ROWS[number];
}

function savePicture(format) {
  const { width, height } = drawn.layout;
  Plotly.downloadImage(byId("plot"), {
    format, filename: `archbench-${state.chart.name}`, width, height,
    scale: format === "png" ? 2 : 1,
  });
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const OUTLINES = {
  circle: "M6 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
  square: "M6.5 2.5H15.5V11.5H6.5Z",
  diamond: "M11 .8L17.2 7L11 13.2L4.8 7Z",
  "triangle-up": "M11 1.5L17 12H5Z",
  "triangle-down": "M11 12.5L17 2H5Z",
  cross: "M9 1.5H13V5H16.5V9H13V12.5H9V9H5.5V5H9Z",
  pentagon: "M11 1L17 5.4L14.7 12.5H7.3L5 5.4Z",
  star: "M11 .8L12.8 5L17.3 5.3L13.8 8.2L15 12.7L11 10.2L7 12.7L8.2 8.2L4.7 5.3L9.2 5Z",
};

/** One entry of the key: the mark, drawn, and what it means. */
function keyEntry(entry, theme) {
  const ink = theme.muted;
  if (entry.mark === "circles") {
    const circles = entry.circles.map(({ text, diameter }) => {
      const middle = diameter / 2 + 1;
      const size = { width: 2 * middle, height: 2 * middle, "aria-hidden": "true" };
      const circle = { cx: middle, cy: middle, r: diameter / 2, fill: "none", stroke: ink };
      return element("span", { class: "example" }, svg("svg", size, svg("circle", circle)), text);
    });
    return element("span", { class: "entry" }, `circle area, ${entry.text}:`, ...circles);
  }
  const style = {
    filled: { d: OUTLINES.circle, fill: ink },
    open: { d: OUTLINES.circle, fill: `${ink}22` },
    line: { d: "M1 7H21", stroke: theme.ink },
    dots: { d: "M1 7H21", "stroke-dasharray": "2 3" },
    dashes: { d: "M1 7H21", "stroke-dasharray": "6 4" },
  }[entry.mark] ?? { d: OUTLINES[entry.mark] };
  const path = svg("path", { fill: "none", stroke: ink, "stroke-width": 1.4, ...style });
  const size = { width: 22, height: 14, viewBox: "0 0 22 14", "aria-hidden": "true" };
  return element("span", { class: "entry" }, svg("svg", size, path), entry.text);
}
