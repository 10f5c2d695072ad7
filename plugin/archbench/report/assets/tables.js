// Figures in words: all of one point, and tables of many.

const NOISE = "~ too noisy to trust: other work ran beside it";

/** Heading, figures with their kind, and their sources, numbered. */
function factsOf(point, heading) {
  const metrics = PRESENT.filter((metric) => point.values[metric]);
  const sources = unique(metrics.map((metric) => sourceOf(point, metric)));
  const rows = metrics.map((metric) => {
    const range = rangeText(metric, point.values[metric].slice(3));
    const kind = kindOf(point, metric);
    const number = String(sources.indexOf(sourceOf(point, metric)) + 1);
    return element("tr", {},
      element("th", { scope: "row" }, METRICS[metric].title),
      element("td", { class: "number" }, textOf(point, metric),
        element("span", { class: "quiet" }, range && ` (${range})`)),
      element("td", { class: `kind ${kind}` }, `${kind} `, element("sup", {}, number)));
  });
  const about = [
    point.family, point.library, point.device_name || point.device, point.target, point.status,
  ];
  const when = [
    point.run && `run ${point.run}`, point.when,
    point.commit && `commit ${point.commit.slice(0, 12)}`,
  ];
  const quiet = (texts) => element("p", { class: "quiet" }, texts.filter(Boolean).join(" · "));
  return [
    heading,
    quiet(unique(about)),
    element("table", { class: "facts" }, element("tbody", {}, ...rows)),
    element("ol", { class: "sources" }, ...sources.map((source) => element("li", {}, source))),
    ...(metrics.some((metric) => isNoisy(point, metric)) ? [quiet([NOISE])] : []),
    quiet(when),
  ];
}

function showDetails(point) {
  hideTip();
  const dialog = byId("details");
  const close = element("button", {
    type: "button", class: "close", "aria-label": "Close", onclick: () => dialog.close(),
  }, "×");
  const heading = element("h2", { id: "details-title" }, point.name);
  dialog.replaceChildren(close, ...factsOf(point, heading));
  if (!dialog.open) dialog.showModal();
}

function showTip(event) {
  const tip = byId("tip");
  const point = pointOf(event);
  if (point) {
    tip.replaceChildren(...factsOf(point, element("strong", {}, point.name)));
  } else if (state.chart.form === "history") {
    tip.replaceChildren(...historyFacts(drawn.entries[event.points[0].customdata]));
  } else return;
  tip.hidden = false;
  const { clientX, clientY } = event.event;
  const { width, height } = tip.getBoundingClientRect();
  const left = clientX + 16 + width > innerWidth ? clientX - 16 - width : clientX + 16;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(clientY + 12, innerHeight - height - 8))}px`;
}

function historyFacts(entry) {
  const metric = METRICS[entry.metric];
  const mark = entry.noisy ? "~" : "";
  const value = metric
    ? `${mark}${formatSignificant(entry.value * metric.scale, metric.digits)} (${metric.title})`
    : `${entry.value} ${entry.metric}`;
  const lines = [
    metric && rangeText(entry.metric, [entry.low, entry.high]),
    entry.when, entry.commit && `commit ${entry.commit}`,
    entry.change_point && "change point: a new level begins here",
    entry.noisy && NOISE,
    ...(entry.events ?? []).map(String),
  ].filter(Boolean);
  return [
    element("strong", {}, value), ...lines.map((line) => element("p", { class: "quiet" }, line)),
  ];
}

function hideTip() {
  byId("tip").hidden = true;
}

/** Names and titles of columns; one that would say nothing, or the same in each row, is none. */
function columnsOfTable() {
  const values = (name) => unique(ROWS.map((point) => point[name]));
  const isStated = (name) => values(name).some((value) => value !== null && value !== "");
  const axes = Object.keys(AXES)
    .filter((name) => (AXES[name].isFurther ? values(name).length > 1 : isStated(name)));
  const metrics = [...PRESENT].sort((a, b) => METRICS[a].place - METRICS[b].place);
  return [
    { name: "name", title: "architecture" },
    ...["family", "library"].map((name) => ({ name, title: name })),
    ...(isStated("device") ? [{ name: "device", title: "device" }] : []),
    ...axes.map((name) => ({ name, title: AXES[name].title })),
    ...metrics.map((name) => ({ name, title: METRICS[name].title, isMetric: true })),
    ...(isStated("status") ? [{ name: "status", title: "verdict" }] : []),
  ];
}

const COLUMNS = columnsOfTable();
const BEST_COLUMNS = COLUMNS.filter(({ name, isMetric }) =>
  (isMetric ? METRICS[name].isLimit : !["library", "threads", "status"].includes(name)));

/** By the chosen column; what has no value stands last either way. */
function sorted(points) {
  const { column, isDescending } = state.sort;
  const valueIn = (point) =>
    (column in METRICS ? valueOf(point, column) : point[column] ?? undefined);
  const sign = isDescending ? -1 : 1;
  return [...points].sort((a, b) => {
    const [left, right] = [valueIn(a), valueIn(b)];
    if (left === undefined || right === undefined) {
      return (left === undefined) - (right === undefined) || a.n - b.n;
    }
    const isNumber = typeof left === "number";
    return sign * (isNumber ? left - right : compareNames(left, right)) || a.n - b.n;
  });
}

function tableOf(heads, points, columns) {
  const theme = currentTheme();
  const rows = points.map((point) =>
    element("tr", {}, ...columns.map((column) => bodyCell(point, column, theme))));
  return element("table", { class: "figures" },
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}

function showTable() {
  const region = byId("table");
  if (shown.length === 0) {
    const text = ROWS.length === 0 ? "There are no figures." : "The filters leave no row.";
    region.replaceChildren(element("p", { class: "sentence" }, text));
    byId("pager").replaceChildren();
    return;
  }
  const active = document.activeElement;
  const focused = region.contains(active) ? active.dataset.column : undefined;
  const start = state.page * state.rows;
  const part = sorted(shown).slice(start, start + state.rows);
  region.replaceChildren(tableOf(COLUMNS.map(headerCell), part, COLUMNS));
  if (focused !== undefined) region.querySelector(`[data-column="${focused}"]`)?.focus();
  const turn = (by, text, disabled) => element("button", {
    type: "button", disabled, onclick: () => {
      state.page += by;
      showTable();
    },
  }, text);
  const end = start + part.length;
  byId("pager").replaceChildren(
    turn(-1, "Previous", state.page === 0),
    element("span", {}, `${count(start + 1)} to ${count(end)} of ${count(shown.length)}`),
    turn(1, "Next", end === shown.length));
}

function headerCell({ name, title, isMetric }) {
  const isSorted = state.sort.column === name;
  const direction = !isSorted ? "none" : state.sort.isDescending ? "descending" : "ascending";
  const arrow = { descending: " ↓", ascending: " ↑", none: "" }[direction];
  const sort = () => {
    // Better first: most numbers are read from the top down, costs from the bottom up.
    const first = Boolean(isMetric) && !METRICS[name].isLower;
    state.sort = { column: name, isDescending: isSorted ? !state.sort.isDescending : first };
    state.page = 0;
    showTable();
  };
  return element("th", {
    scope: "col", "aria-sort": direction, class: isMetric ? "number" : name,
  }, element("button", { type: "button", "data-column": name, onclick: sort },
    title, element("span", { "aria-hidden": "true" }, arrow)));
}

function bodyCell(point, { name, isMetric }, theme) {
  if (name === "name") {
    const open = { type: "button", class: "link", onclick: () => showDetails(point) };
    return element("th", { scope: "row" }, element("button", open, point.name));
  }
  if (name === "family") {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = shadeOf(point, theme);
    return element("td", { class: name }, swatch, point.family);
  }
  if (!isMetric) return element("td", { class: name }, statedOf(point, name));
  const kind = kindOf(point, name);
  if (kind === undefined) return element("td", { class: "number quiet" }, "–");
  return element("td", { class: `number ${kind}`, title: `${kind}: ${sourceOf(point, name)}` },
    textOf(point, name) + (kind === "published" ? "*" : ""));
}

/** The table for choosing: the best few within the limits. */
function showBest() {
  const best = bestOf(shown, state.best);
  const without = shown.filter((point) => !point.values.top1).length;
  const notes = [];
  if (!PRESENT.includes("top1")) {
    notes.push("No source has figures of top-1 %, so nothing can be ranked.");
  } else if (best.length === 0) {
    notes.push("No architecture with a top-1 meets the limits.");
  } else {
    notes.push("One row for each architecture: of its rows within the limits, the one with the " +
      "most images/s.");
    if (without > 0) notes.push(`${plural(without, "row")} without a top-1 cannot be ranked.`);
  }
  byId("best-note").textContent = notes.join(" ");
  byId("best").hidden = best.length === 0;
  const heads = BEST_COLUMNS.map(({ name, title, isMetric }) =>
    element("th", { scope: "col", class: isMetric ? "number" : name }, title));
  byId("best").replaceChildren(tableOf(heads, best, BEST_COLUMNS));
}

function downloadCsv() {
  const text = csvOf(sorted(shown));
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  element("a", { href: url, download: "archbench.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
