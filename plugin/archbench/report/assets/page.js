// The page: its state, its controls, and drawing anew what a change of state touches.

const LIMITS = [
  { metric: "latency", label: "Max latency", isLowest: false },
  { metric: "peak_memory", label: "Max peak memory", isLowest: false },
  { metric: "params", label: "Max params", isLowest: false },
  { metric: "macs", label: "Max MACs", isLowest: false },
  { metric: "energy_per_image", label: "Max energy", isLowest: false },
  { metric: "top1", label: "Min top-1", isLowest: true },
].filter(({ metric }) => PRESENT.includes(metric));
const CHOICES = [
  { name: "device", title: "Device", none: "no device" },
  { name: "dtype", title: "Precision", none: "no precision" },
  { name: "batch_size", title: "Batch size", none: "no batch size" },
  { name: "memory_format", title: "Memory format", none: "not stated" },
  { name: "runtime", title: "Runtime", none: "not stated" },
  { name: "cache", title: "Cache", none: "not stated" },
  { name: "run", title: "Run or publication", none: "unnamed" },
];
const STEPS = 200;
const PLOT_OPTIONS = { displayModeBar: false, displaylogo: false, doubleClick: "reset", responsive: false };

const state = {
  search: "",
  left: Object.fromEntries(CHOICES.map(({ name }) => [name, new Set()])),
  families: new Set(),
  limits: {},
  best: 5,
  chart: CHARTS[0],
  settings: Object.fromEntries(CHARTS.map((chart) => [chart.name, firstSettings(chart)])),
  sort: { column: "top1", isDescending: true },
  page: 0,
  rows: 50,
};
let shown = POINTS;
let drawn = null;

function byId(id) {
  return document.getElementById(id);
}

/** An element; `on…` attributes are listeners, texts stay texts. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function firstSettings(chart) {
  const cells = DATA.history === null ? [] : Object.keys(DATA.history);
  const isBatch = chart.form === "batch";
  // All batch sizes in one panel could not be told apart.
  const isOfOneSize = chart.smallest_batch || (chart.form === "points" && !chart.apart && dependsOnTarget(chart.metrics));
  return {
    x: chart.x, y: isBatch ? chart.x : chart.y, second: chart.y, area: chart.area,
    logX: chart.log_x ?? (chart.form === "points" && isWide(chart.x)), logY: chart.log_y,
    panels: chart.apart ? "target" : "",
    batch: isOfOneSize ? smallestBatch() : "",
    ownScale: chart.apart, fit: chart.fit, front: chart.front, bound: chart.bound,
    names: true, most: "40", order: "value",
    cell: cells[0] ?? "", historyMetric: cells.length > 0 ? (DATA.history[cells[0]][0]?.metric ?? "") : "",
  };
}

/** Whether values span more than a factor of 20, as archbench.report.charts.canvas.set_scale has it. */
function isWide(metric) {
  const values = POINTS.map((point) => valueOf(point, metric)).filter((value) => value !== undefined);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low > 0 && high / low > 20;
}

function smallestBatch() {
  const sizes = batchSizes();
  return sizes.length > 1 ? String(sizes[0]) : "";
}

function batchSizes() {
  return [...new Set(POINTS.map((point) => point.batch_size))].filter((size) => size !== null).sort((a, b) => a - b);
}

// ---------------------------------------------------------------------------------------------
// Filters

/** The points that search, choices, families and limits leave. */
function filtered() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const limits = Object.entries(state.limits);
  return POINTS.filter((point) => {
    // Several words are alternatives: people list the architectures that they want to see.
    if (words.length > 0 && !words.some((word) => point.text.includes(word))) return false;
    if (state.families.size > 0 && !state.families.has(point.family)) return false;
    for (const { name } of CHOICES) if (state.left[name].has(point[name] ?? "")) return false;
    return limits.every(([metric, limit]) => {
      const value = shownOf(point, metric);
      if (value === undefined) return false;
      return metric === "top1" ? value >= limit : value <= limit;
    });
  });
}

/** How many points a limit leaves out for want of the figure: they may meet it, who knows. */
function unknownOf(metric) {
  return POINTS.filter((point) => !point.figures[metric]).length;
}

const updateSoon = debounced(update, POINTS.length > 1000 ? 90 : 20);

function debounced(action, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };
}

function update() {
  shown = filtered();
  state.page = 0;
  const architectures = (points) => new Set(points.map((point) => point.id)).size;
  byId("count").textContent = shown.length === POINTS.length
    ? `${plural(architectures(POINTS), "architecture")}, ${plural(POINTS.length, "row")} of figures`
    : `${architectures(shown).toLocaleString("en")} of ${plural(architectures(POINTS), "architecture")}, ` +
      `${shown.length.toLocaleString("en")} of ${plural(POINTS.length, "row")} of figures`;
  showFamilies();
  showBest();
  showTable();
  showChart();
}

function buildChoices() {
  for (const { name, title, none } of CHOICES) {
    const values = [...new Set(POINTS.map((point) => point[name] ?? ""))];
    if (values.length < 2) continue;
    values.sort((a, b) => (a === "") - (b === "") || compareNames(String(a), String(b)));
    const boxes = values.map((value) => {
      const device = name === "device" ? POINTS.find((point) => point.device === value)?.device_name : "";
      return element("label", { class: "check", title: device || null },
        element("input", {
          type: "checkbox", checked: true,
          onchange: (event) => {
            if (event.target.checked) state.left[name].delete(value);
            else state.left[name].add(value);
            update();
          },
        }),
        element("span", {}, value === "" ? none : String(value)));
    });
    byId("choices").append(element("fieldset", {}, element("legend", {}, title), element("div", { class: "checks" }, ...boxes)));
  }
}

function buildLimits() {
  for (const limit of LIMITS) byId("limits").append(limitControl(limit));
  byId("limits").hidden = LIMITS.length === 0;
}

/** A slider over the values that there are, and a box for an exact number; the end is no limit. */
function limitControl({ metric, label, isLowest }) {
  const values = POINTS.map((point) => shownOf(point, metric)).filter((value) => value > 0);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const isLog = high / low > 20;
  const at = (step) => {
    const share = step / STEPS;
    const value = isLog ? low * (high / low) ** share : low + (high - low) * share;
    return Number(value.toPrecision(3));
  };
  const stepOf = (value) => {
    const share = isLog ? Math.log(value / low) / Math.log(high / low || 1) : (value - low) / (high - low || 1);
    return Math.min(STEPS, Math.max(0, Math.round(share * STEPS))) || 0;
  };
  const open = isLowest ? 0 : STEPS;
  const unit = titleOf(metric).replace(/^(latency|peak memory|params|energy per image|top-1) /, "").replace("GMACs", "G");
  const slider = element("input", { type: "range", min: 0, max: STEPS, step: 1, value: open, id: `limit-${metric}`, "aria-label": `${label}, slider` });
  const box = element("input", { type: "number", min: 0, step: "any", placeholder: "any", id: `limit-${metric}-number`, "aria-label": `${label}, in ${unit}` });
  const say = () => {
    slider.setAttribute("aria-valuetext", metric in state.limits ? `${state.limits[metric]} ${unit}` : "no limit");
    note.textContent = metric in state.limits && unknownOf(metric) > 0 ? `${plural(unknownOf(metric), "row")} without the figure left out` : "";
  };
  const note = element("small", {});
  slider.addEventListener("input", () => {
    if (Number(slider.value) === open) delete state.limits[metric];
    else state.limits[metric] = at(Number(slider.value));
    box.value = state.limits[metric] ?? "";
    say();
    updateSoon();
  });
  box.addEventListener("input", () => {
    if (box.value === "" || !Number.isFinite(box.valueAsNumber)) delete state.limits[metric];
    else state.limits[metric] = box.valueAsNumber;
    slider.value = metric in state.limits ? stepOf(state.limits[metric]) : open;
    say();
    updateSoon();
  });
  say();
  return element("div", { class: "limit" },
    element("span", { class: "label" }, label),
    element("span", { class: "amount" }, box, element("span", { class: "unit" }, unit)),
    slider, note);
}

function resetFilters() {
  state.search = "";
  byId("search").value = "";
  for (const { name } of CHOICES) state.left[name].clear();
  for (const box of document.querySelectorAll("#choices input")) box.checked = true;
  state.families.clear();
  state.limits = {};
  byId("limits").replaceChildren(element("legend", {}, "Limits"));
  buildLimits();
  update();
}

// ---------------------------------------------------------------------------------------------
// Families

const FAMILY_SIZES = [...groups(POINTS, (point) => point.family)]
  .map(([family, members]) => ({ family, count: new Set(members.map((point) => point.id)).size }))
  .sort((a, b) => compareNames(a.family, b.family));

/** The legend: a button for each family. One click shows it alone, another one all again. */
function showFamilies() {
  const theme = currentTheme();
  const focused = document.activeElement?.dataset?.family;
  const buttons = FAMILY_SIZES.map(({ family, count }) => {
    const isOn = state.families.has(family);
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = familyColour(family, theme);
    return element("button", {
      type: "button", "data-family": family, "aria-pressed": String(isOn),
      class: state.families.size > 0 && !isOn ? "family faded" : "family",
      onclick: (event) => chooseFamily(family, event.ctrlKey || event.metaKey || event.shiftKey),
    }, swatch, family, element("span", { class: "quiet" }, ` ${count}`));
  });
  const all = element("button", { type: "button", class: "family all", disabled: state.families.size === 0, onclick: () => chooseFamily(null) }, "All families");
  byId("families").replaceChildren(...buttons, all);
  if (focused !== undefined) byId("families").querySelector(`[data-family="${CSS.escape(focused)}"]`)?.focus();
}

function chooseFamily(family, isAdded = false) {
  const isAlone = state.families.size === 1 && state.families.has(family);
  if (family === null || (isAlone && !isAdded)) state.families.clear();
  else if (isAdded && state.families.has(family)) state.families.delete(family);
  else if (isAdded) state.families.add(family);
  else state.families = new Set([family]);
  update();
}

// ---------------------------------------------------------------------------------------------
// Charts

function buildTabs() {
  for (const chart of CHARTS) {
    byId("tabs").append(element("button", {
      type: "button", role: "tab", id: `tab-${chart.name}`, "aria-controls": "panel",
      onclick: () => chooseChart(chart), onkeydown: moveBetweenTabs,
    }, chart.tab));
    byId("pick").append(element("option", { value: chart.name }, chart.title));
  }
  byId("pick").addEventListener("change", (event) => chooseChart(CHARTS.find((chart) => chart.name === event.target.value)));
}

function moveBetweenTabs(event) {
  const last = CHARTS.length - 1;
  const place = CHARTS.indexOf(state.chart);
  const to = {
    ArrowRight: place === last ? 0 : place + 1, ArrowLeft: place === 0 ? last : place - 1, Home: 0, End: last,
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
  const change = (name) => (event) => {
    settings[name] = event.target.type === "checkbox" ? event.target.checked : event.target.value;
    if (name === "cell" || name === "panels") {
      buildAxes();
      byId(`set-${name}`).focus();
    }
    showChart();
  };
  const select = (name, label, options) =>
    element("label", { class: "inline" }, element("span", {}, label),
      element("select", { id: `set-${name}`, onchange: change(name) },
        ...options.map(([value, text]) => element("option", { value, selected: String(settings[name]) === value }, text))));
  const check = (name, label) =>
    element("label", { class: "check" },
      element("input", { type: "checkbox", id: `set-${name}`, checked: settings[name], onchange: change(name) }), element("span", {}, label));
  // The chart's own metrics stay among the choices where no source has them.
  const own = metricsOf(state.chart, firstSettings(state.chart));
  const metrics = Object.keys(METRICS).filter((metric) => PRESENT.includes(metric) || own.includes(metric)).map((metric) => [metric, titleOf(metric)]);
  const sizes = batchSizes();
  const batch = sizes.length > 1 ? [select("batch", "Batch size", [["", "any"], ...sizes.map((size) => [String(size), String(size)])])] : [];
  const controls = {
    bars: () => [
      select("x", "Figure", metrics), select("order", "Order", [["value", "best first"], ["name", "name"], ["family", "family"]]),
      select("most", "Bars", [["40", "40"], ["100", "100"], ["", "all"]]), ...batch,
    ],
    points: () => [
      select("x", "Across", metrics), check("logX", "log"), select("y", "Up", metrics), check("logY", "log"),
      select("area", "Circle area", [["", "equal"], ...metrics]),
      select("panels", "Side by side", [["", "all in one"], ["device", "devices"], ["dtype", "precisions"], ["setup", "devices and precisions"], ["runtime", "runtimes"], ["batch_size", "batch sizes"], ["target", "devices and batch sizes"], ["family", "families"]]),
      ...(settings.panels === "" ? [] : [check("ownScale", "own scales")]), ...batch, check("names", "names"), check("fit", "fitted line"), check("front", "Pareto front"), check("bound", "upper bound"),
    ],
    batch: () => [select("y", "Left", metrics), select("second", "Right", metrics), check("logY", "log"), check("names", "names")],
    history: () => {
      const cells = Object.keys(DATA.history).filter((cell) => cell.toLowerCase().includes(state.search.toLowerCase()));
      if (!cells.includes(settings.cell)) settings.cell = cells[0] ?? "";
      const found = [...new Set((DATA.history[settings.cell] ?? []).map((entry) => entry.metric))];
      if (!found.includes(settings.historyMetric)) settings.historyMetric = found[0] ?? "";
      return [
        select("cell", "Cell", cells.map((cell) => [cell, cell])),
        select("historyMetric", "Figure", found.map((metric) => [metric, METRICS[metric]?.title ?? metric])),
      ];
    },
  };
  byId("axes").replaceChildren(...controls[state.chart.form]());
}

function currentTheme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    isDark: isDark(), paper: colour("paper"), ink: colour("ink"), muted: colour("muted"), grid: colour("grid"), line: colour("line"),
    accent: colour("accent"), warning: colour("warning"), font: getComputedStyle(document.body).fontFamily,
  };
}

function showChart() {
  if (state.chart.form === "history") buildAxes();
  hideTip();
  const plot = byId("plot");
  const settings = state.settings[state.chart.name];
  const view = { theme: currentTheme(), width: Math.floor(byId("panel").clientWidth), best: bestOf(shown, state.best) };
  drawn = draw(state.chart, settings, shown, view);
  const isDrawn = drawn.sentence === undefined;
  byId("sentence").hidden = isDrawn;
  byId("sentence").textContent = drawn.sentence ?? "";
  for (const id of ["picture", "key", "chart-note", "tools"]) byId(id).hidden = !isDrawn;
  byId("families").hidden = state.chart.form === "history" || FAMILY_SIZES.length < 2;
  if (!isDrawn) {
    Plotly.purge(plot);
    plot.replaceChildren();
    plot.dataset.drawn = "";
    return;
  }
  for (const names of drawn.names) fillNames(names, view.theme);
  byId("chart-note").replaceChildren(...drawn.notes.map((note) => element("p", {}, note)));
  byId("key").replaceChildren(...drawn.key.map((entry) => keyEntry(entry, view.theme)));
  const chart = state.chart;
  Plotly.react(plot, drawn.traces, drawn.layout, PLOT_OPTIONS).then(() => {
    if (state.chart === chart) plot.dataset.drawn = chart.name;
    // Plotly measures texts in a drawing outside the page's view, which nobody should read out.
    byId("js-plotly-tester")?.setAttribute("aria-hidden", "true");
  });
  if (!plot.dataset.listens) listenToPlot(plot);
}

/** Names at free places for what is visible: the layout's ranges, or those zoomed to. */
function fillNames(names, theme) {
  const range = (axis, letter) => {
    const key = names.axes[`${letter}axis`].replace(letter, `${letter}axis`);
    return (byId("plot").layout?.[key]?.range && drawn.isZoomed ? byId("plot").layout : drawn.layout)[key].range;
  };
  Object.assign(drawn.traces[names.trace], placeNames(names, { x: range(names, "x"), y: range(names, "y") }, theme));
}

function listenToPlot(plot) {
  plot.dataset.listens = "yes";
  plot.on("plotly_hover", (event) => showTip(event));
  plot.on("plotly_unhover", hideTip);
  plot.on("plotly_click", (event) => {
    const point = pointOf(event);
    if (point) showDetails(point);
  });
  plot.on("plotly_relayout", (changes) => {
    if (!Object.keys(changes).some((key) => /^[xy]axis\d*\.(range|autorange)/.test(key))) return;
    if (!drawn?.names?.length) return;
    drawn.isZoomed = true;
    const theme = currentTheme();
    for (const names of drawn.names) fillNames(names, theme);
    const places = drawn.names.map((names) => names.trace);
    const of = (key) => places.map((place) => drawn.traces[place][key]);
    Plotly.restyle(plot, { x: of("x"), y: of("y"), text: of("text") }, places);
  });
}

function pointOf(event) {
  const number = event.points[0]?.customdata;
  return state.chart.form === "history" || number === undefined ? null : POINTS[number];
}

function resetView() {
  showChart();
}

function savePicture(format) {
  const name = `archbench-${state.chart.name}`;
  Plotly.downloadImage(byId("plot"), { format, filename: name, width: drawn.layout.width, height: drawn.layout.height, scale: format === "png" ? 2 : 1 });
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** One entry of the key: the mark, drawn, and what it means. */
function keyEntry(entry, theme) {
  const ink = theme.muted;
  if (entry.mark === "circles") {
    const circles = entry.circles.map(({ text, diameter }) =>
      element("span", { class: "example" },
        svg("svg", { width: diameter + 2, height: diameter + 2, "aria-hidden": "true" },
          svg("circle", { cx: diameter / 2 + 1, cy: diameter / 2 + 1, r: diameter / 2, fill: "none", stroke: ink, "stroke-width": 1.2 })),
        text));
    return element("span", { class: "entry" }, `circle area, ${entry.text}:`, ...circles);
  }
  const picture = svg("svg", { width: 22, height: 14, viewBox: "0 0 22 14", "aria-hidden": "true" });
  const shapes = {
    filled: ["circle", { cx: 11, cy: 7, r: 5, fill: ink, stroke: ink }],
    open: ["circle", { cx: 11, cy: 7, r: 5, fill: `${ink}22`, stroke: ink, "stroke-width": 1.4 }],
    line: ["path", { d: "M1 7H21", stroke: theme.ink, "stroke-width": 1.6 }],
    dots: ["path", { d: "M1 7H21", stroke: ink, "stroke-width": 1.8, "stroke-dasharray": "2 3" }],
    dashes: ["path", { d: "M1 7H21", stroke: ink, "stroke-width": 1.6, "stroke-dasharray": "6 4" }],
    circle: ["circle", { cx: 11, cy: 7, r: 5, fill: "none", stroke: ink }],
    square: ["path", { d: "M6.5 2.5H15.5V11.5H6.5Z", fill: "none", stroke: ink }],
    diamond: ["path", { d: "M11 .8L17.2 7L11 13.2L4.800 7Z", fill: "none", stroke: ink }],
    "triangle-up": ["path", { d: "M11 1.500L17 12H5Z", fill: "none", stroke: ink }],
    "triangle-down": ["path", { d: "M11 12.500L17 2H5Z", fill: "none", stroke: ink }],
    cross: ["path", { d: "M9 1.500H13V5H16.500V9H13V12.500H9V9H5.500V5H9Z", fill: "none", stroke: ink }],
    pentagon: ["path", { d: "M11 1L17 5.400L14.700 12.500H7.300L5 5.400Z", fill: "none", stroke: ink }],
    star: ["path", { d: "M11 .8L12.800 5L17.300 5.300L13.800 8.200L15 12.700L11 10.200L7 12.700L8.200 8.200L4.700 5.300L9.200 5Z", fill: "none", stroke: ink }],
  };
  picture.append(svg(...shapes[entry.mark]));
  return element("span", { class: "entry" }, picture, entry.text);
}

// ---------------------------------------------------------------------------------------------
// All figures of one point

/** Heading, figures with their kind, and their sources, numbered. */
function factsOf(point, heading) {
  const sources = [];
  const rows = PRESENT.filter((metric) => point.figures[metric]).map((metric) => {
    const source = sourceOf(point, metric);
    if (!sources.includes(source)) sources.push(source);
    const interval = intervalOf(point, metric);
    const digits = METRICS[metric].digits;
    const range = interval === null ? "" : ` (${interval.map((end) => formatSignificant(end, digits)).join(" to ")})`;
    return element("tr", {},
      element("th", { scope: "row" }, titleOf(metric)),
      element("td", { class: "number" }, textOf(point, metric), element("span", { class: "quiet" }, range)),
      element("td", { class: `kind ${kindOf(point, metric)}` }, `${kindOf(point, metric)} `, element("sup", {}, String(sources.indexOf(source) + 1))));
  });
  const about = [point.family, point.library, point.device_name || point.device, point.target, point.status].filter(Boolean);
  const when = [point.run && `run ${point.run}`, point.when, point.commit && `commit ${point.commit.slice(0, 12)}`].filter(Boolean);
  return [
    heading,
    element("p", { class: "quiet" }, [...new Set(about)].join(" · ")),
    element("table", { class: "facts" }, element("tbody", {}, ...rows)),
    element("ol", { class: "sources" }, ...sources.map((source) => element("li", {}, source))),
    element("p", { class: "quiet" }, when.join(" · ")),
  ];
}

function showDetails(point) {
  hideTip();
  const dialog = byId("details");
  const close = element("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close() }, "×");
  const heading = element("h2", { id: "details-title" }, point.name);
  dialog.replaceChildren(close, ...factsOf(point, heading));
  if (!dialog.open) dialog.showModal();
}

function showTip(event) {
  const tip = byId("tip");
  const point = pointOf(event);
  if (point) tip.replaceChildren(...factsOf(point, element("strong", {}, point.name)));
  else if (state.chart.form === "history") tip.replaceChildren(...historyFacts(drawn.entries[event.points[0].customdata]));
  else return;
  tip.hidden = false;
  const { clientX, clientY } = event.event;
  const box = tip.getBoundingClientRect();
  const right = clientX + 16 + box.width > innerWidth ? clientX - 16 - box.width : clientX + 16;
  tip.style.left = `${Math.max(8, right)}px`;
  tip.style.top = `${Math.max(8, Math.min(clientY + 12, innerHeight - box.height - 8))}px`;
}

function historyFacts(entry) {
  const metric = METRICS[entry.metric];
  const value = metric ? `${formatSignificant(entry.value * metric.scale, metric.digits)} (${metric.title})` : `${entry.value} ${entry.metric}`;
  const ends = [entry.low, entry.high];
  const lines = [
    metric && ends.every(Number.isFinite) ? ends.map((end) => formatSignificant(end * metric.scale, metric.digits)).join(" to ") : "",
    entry.when, entry.commit && `commit ${entry.commit}`, entry.change_point ? "change point: a new level begins here" : "",
    ...(entry.events ?? []).map(String),
  ].filter(Boolean);
  return [element("strong", {}, value), ...lines.map((line) => element("p", { class: "quiet" }, line))];
}

function hideTip() {
  byId("tip").hidden = true;
}

// ---------------------------------------------------------------------------------------------
// Tables

const SHOWN_METRICS = Object.keys(METRICS).filter((metric) => PRESENT.includes(metric));
const FIRST_METRICS = ["top1", "top5", "params", "macs", "latency", "throughput", "peak_memory", "energy_per_image"];
const COLUMNS = [
  { name: "name", title: "architecture" },
  { name: "family", title: "family" },
  { name: "library", title: "library" },
  ...[["device", "device"], ["dtype", "precision"], ["batch_size", "batch"], ["threads", "threads"]]
    .filter(([name]) => POINTS.some((point) => point[name] !== null && point[name] !== ""))
    .map(([name, title]) => ({ name, title })),
  // Most runs know one way of running: a column of it would say nothing.
  ...[["memory_format", "memory format"], ["runtime", "runtime"], ["cache", "cache"]]
    .filter(([name]) => new Set(POINTS.map((point) => point[name])).size > 1)
    .map(([name, title]) => ({ name, title })),
  ...[...FIRST_METRICS, ...SHOWN_METRICS.filter((metric) => !FIRST_METRICS.includes(metric))]
    .filter((metric) => PRESENT.includes(metric))
    .map((metric) => ({ name: metric, title: titleOf(metric), isMetric: true })),
  ...(POINTS.some((point) => point.status) ? [{ name: "status", title: "verdict" }] : []),
];

/** By the chosen column; what has no value stands last either way. */
function sorted(points) {
  const { column, isDescending } = state.sort;
  const isMetric = column in METRICS;
  const of = (point) => (isMetric ? valueOf(point, column) : (point[column] ?? undefined));
  const sign = isDescending ? -1 : 1;
  return [...points].sort((a, b) => {
    const [left, right] = [of(a), of(b)];
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined) || a.n - b.n;
    const order = typeof left === "number" ? left - right : compareNames(left, right);
    return sign * order || a.n - b.n;
  });
}

function showTable() {
  const region = byId("table");
  if (shown.length === 0) {
    region.replaceChildren(element("p", { class: "sentence" }, POINTS.length === 0 ? "There are no figures." : "The filters leave no row."));
    byId("pager").replaceChildren();
    return;
  }
  const focused = region.contains(document.activeElement) ? document.activeElement.dataset.column : undefined;
  const rows = sorted(shown);
  const pages = Math.max(1, Math.ceil(rows.length / state.rows));
  const start = state.page * state.rows;
  const part = rows.slice(start, start + state.rows);
  const theme = currentTheme();
  region.replaceChildren(element("table", { class: "figures" },
    element("thead", {}, element("tr", {}, ...COLUMNS.map(headerCell))),
    element("tbody", {}, ...part.map((point) => element("tr", {}, ...COLUMNS.map((column) => bodyCell(point, column, theme)))))));
  if (focused !== undefined) region.querySelector(`[data-column="${focused}"]`)?.focus();
  const turn = (by) => () => {
    state.page += by;
    showTable();
  };
  byId("pager").replaceChildren(
    element("button", { type: "button", disabled: state.page === 0, onclick: turn(-1) }, "Previous"),
    element("span", {}, `${(start + 1).toLocaleString("en")} to ${(start + part.length).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`),
    element("button", { type: "button", disabled: state.page >= pages - 1, onclick: turn(1) }, "Next"));
}

function headerCell({ name, title, isMetric }) {
  const isSorted = state.sort.column === name;
  const direction = isSorted ? (state.sort.isDescending ? "descending" : "ascending") : "none";
  const arrow = { descending: " ↓", ascending: " ↑", none: "" }[direction];
  const sort = () => {
    // Better first: most numbers are read from the top down, costs from the bottom up.
    const first = Boolean(isMetric) && !LOWER_IS_BETTER.has(name);
    state.sort = { column: name, isDescending: isSorted ? !state.sort.isDescending : first };
    state.page = 0;
    showTable();
  };
  return element("th", { scope: "col", "aria-sort": direction, class: isMetric ? "number" : name },
    element("button", { type: "button", "data-column": name, onclick: sort }, title, element("span", { "aria-hidden": "true" }, arrow)));
}

function bodyCell(point, { name, isMetric }, theme) {
  if (name === "name") return element("th", { scope: "row" }, element("button", { type: "button", class: "link", onclick: () => showDetails(point) }, point.name));
  if (name === "family") {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = shadeOf(point, theme);
    return element("td", { class: name }, swatch, point.family);
  }
  if (!isMetric) return element("td", { class: name }, String(point[name] ?? ""));
  const kind = kindOf(point, name);
  if (kind === undefined) return element("td", { class: "number quiet" }, "–");
  return element("td", { class: `number ${kind}`, title: `${kind}: ${sourceOf(point, name)}` }, textOf(point, name) + (kind === "published" ? "*" : ""));
}

/** The table for choosing: the best few within the limits. */
function showBest() {
  const best = bestOf(shown, state.best);
  const without = shown.filter((point) => !point.figures.top1).length;
  const notes = [];
  if (!PRESENT.includes("top1")) notes.push("No source has figures of top-1 %, so nothing can be ranked.");
  else if (best.length === 0) notes.push("No architecture with a top-1 meets the limits.");
  else notes.push("One row for each architecture: of its rows within the limits, the one with the most images/s.");
  if (best.length > 0 && without > 0) notes.push(`${plural(without, "row")} without a top-1 cannot be ranked.`);
  byId("best-note").textContent = notes.join(" ");
  const theme = currentTheme();
  const columns = COLUMNS.filter(({ name, isMetric }) => (isMetric ? FIRST_METRICS.includes(name) : ["name", "family", "device", "dtype", "batch_size", "memory_format", "runtime", "cache"].includes(name)));
  byId("best").hidden = best.length === 0;
  byId("best").replaceChildren(element("table", { class: "figures" },
    element("thead", {}, element("tr", {}, ...columns.map(({ name, title, isMetric }) => element("th", { scope: "col", class: isMetric ? "number" : name }, title)))),
    element("tbody", {}, ...best.map((point) => element("tr", {}, ...columns.map((column) => bodyCell(point, column, theme)))))));
}

function downloadCsv() {
  const url = URL.createObjectURL(new Blob([csvOf(sorted(shown))], { type: "text/csv;charset=utf-8" }));
  const link = element("a", { href: url, download: "archbench.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// ---------------------------------------------------------------------------------------------
// Light, dark, width

const SYSTEM_DARK = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : SYSTEM_DARK.matches;
}

function nameThemeButton() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
}

function redrawInTheme() {
  nameThemeButton();
  showFamilies();
  showBest();
  showTable();
  showChart();
}

function listenToPage() {
  byId("search").addEventListener("input", (event) => {
    state.search = event.target.value;
    updateSoon();
  });
  byId("best-count").addEventListener("input", (event) => {
    const count = event.target.valueAsNumber;
    if (count >= 1) state.best = Math.min(50, Math.floor(count));
    showBest();
    showChart();
  });
  byId("reset").addEventListener("click", resetFilters);
  byId("csv").addEventListener("click", downloadCsv);
  byId("whole").addEventListener("click", resetView);
  byId("png").addEventListener("click", () => savePicture("png"));
  byId("svg").addEventListener("click", () => savePicture("svg"));
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    redrawInTheme();
  });
  SYSTEM_DARK.addEventListener("change", redrawInTheme);
  byId("details").addEventListener("click", (event) => {
    if (event.target === byId("details")) byId("details").close();
  });
  addEventListener("scroll", hideTip, { passive: true });
  let width = byId("panel").clientWidth;
  const redraw = debounced(showChart, 80);
  new ResizeObserver(() => {
    if (byId("panel").clientWidth === width) return;
    width = byId("panel").clientWidth;
    redraw();
  }).observe(byId("panel"));
}

function showExtent() {
  const unique = (name) => [...new Set(POINTS.map((point) => point[name]))].filter((value) => value !== null && value !== "");
  const parts = [
    plural(unique("id").length, "architecture"),
    unique("device").length > 0 ? unique("device").slice(0, 4).join(", ") + (unique("device").length > 4 ? ` and ${unique("device").length - 4} more` : "") : "no device",
    unique("dtype").join(", "),
    unique("when").map((when) => when.slice(0, 10)).sort().at(-1),
  ];
  byId("extent").textContent = POINTS.length === 0 ? "No figures" : parts.filter(Boolean).join(" · ");
}

function showRemarks() {
  byId("remarks").hidden = DATA.remarks.length === 0;
  byId("remarks").querySelector("summary").textContent = plural(DATA.remarks.length, "remark");
  byId("remarks").querySelector("ul").replaceChildren(...DATA.remarks.map((remark) => element("li", {}, remark)));
}

function start() {
  if (innerWidth < 900) byId("filters").open = false;
  const asked = CHARTS.find((chart) => `#${chart.name}` === location.hash);
  if (asked) state.chart = asked;
  nameThemeButton();
  showExtent();
  showRemarks();
  buildChoices();
  buildLimits();
  buildTabs();
  markTab();
  buildAxes();
  listenToPage();
  update();
}

start();
