// Filters: what the page shows, and the controls that choose it.

const LIMITS = PRESENT.filter((metric) => METRICS[metric].isLimit)
  .sort((a, b) => METRICS[a].place - METRICS[b].place);
const CHOICES = [
  { name: "device", title: "device" },
  ...Object.entries(AXES).map(([name, { title }]) => ({ name, title })),
  { name: "run", title: "run or publication" },
];
const STEPS = 200;

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
let shown = ROWS;

function byId(id) {
  return document.getElementById(id);
}

/** An element; `on…` attributes are listeners, texts stay texts. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** The points that search, choices, families and limits leave. */
function filtered() {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const limits = Object.entries(state.limits);
  const left = CHOICES.filter(({ name }) => state.left[name].size > 0);
  return ROWS.filter((point) => {
    // Several words are alternatives: people list the architectures that they want to see.
    if (words.length > 0 && !words.some((word) => point.text.includes(word))) return false;
    if (state.families.size > 0 && !state.families.has(point.family)) return false;
    if (left.some(({ name }) => state.left[name].has(statedOf(point, name)))) return false;
    return limits.every(([metric, limit]) => {
      const value = shownOf(point, metric);
      return METRICS[metric].isLower ? value <= limit : value >= limit;
    });
  });
}

const updateSoon = debounced(update, ROWS.length > 1000 ? 90 : 20);

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
  const [some, all] = [shown, ROWS].map((points) => unique(points.map((p) => p.id)).length);
  const isAll = shown.length === ROWS.length;
  byId("count").textContent =
    `${isAll ? "" : `${count(some)} of `}${plural(all, "architecture")}, ` +
    `${isAll ? "" : `${count(shown.length)} of `}${plural(ROWS.length, "row")} of figures`;
  showFamilies();
  showBest();
  showTable();
  showChart();
}

function buildChoices() {
  for (const { name, title } of CHOICES) {
    const values = unique(ROWS.map((point) => statedOf(point, name)));
    if (values.length < 2) continue;
    values.sort((a, b) => (a === "") - (b === "") || compareNames(a, b));
    const change = (value) => (event) => {
      state.left[name][event.target.checked ? "delete" : "add"](value);
      update();
    };
    const boxes = values.map((value) => {
      const known = name === "device" && ROWS.find((point) => point.device === value);
      const box = element("input", { type: "checkbox", checked: true, onchange: change(value) });
      const label = { class: "check", title: (known && known.device_name) || null };
      return element("label", label, box, element("span", {}, value || "not stated"));
    });
    byId("choices").append(element("fieldset", {},
      element("legend", {}, title), element("div", { class: "checks" }, ...boxes)));
  }
}

function buildLimits() {
  byId("limits").replaceChildren(
    element("legend", {}, "Limits"), ...LIMITS.map((metric) => limitControl(metric)));
  byId("limits").hidden = LIMITS.length === 0;
}

/** Between the least and the greatest value, in steps; by factors where they lie far apart. */
function stepsOf(metric) {
  const values = ROWS.map((point) => shownOf(point, metric)).filter((value) => value > 0);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const isLog = high / low > 20;
  return {
    valueAt(step) {
      const share = step / STEPS;
      const value = isLog ? low * (high / low) ** share : low + (high - low) * share;
      return Number(value.toPrecision(3));
    },
    stepOf(value) {
      const share = isLog
        ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
      return Math.min(STEPS, Math.max(0, Math.round(share * STEPS))) || 0;
    },
  };
}

/** A slider over the values that there are, and a box for an exact number; the end is no limit. */
function limitControl(metric) {
  const { noun, unit, isLower } = METRICS[metric];
  const label = `${isLower ? "Max" : "Min"} ${noun}`;
  const { valueAt, stepOf } = stepsOf(metric);
  const open = isLower ? STEPS : 0;
  const slider = element("input", {
    type: "range", min: 0, max: STEPS, step: 1, value: open, id: `limit-${metric}`,
    "aria-label": `${label}, slider`,
  });
  const box = element("input", {
    type: "number", min: 0, step: "any", placeholder: "any", id: `limit-${metric}-number`,
    "aria-label": unit ? `${label}, in ${unit}` : label,
  });
  const note = element("small", {});
  const say = () => {
    const limit = state.limits[metric];
    slider.setAttribute("aria-valuetext", limit === undefined ? "no limit" : `${limit} ${unit}`);
    // A row without the figure may meet the limit: nobody knows.
    const unknown = ROWS.filter((point) => !point.values[metric]).length;
    note.textContent = limit === undefined || unknown === 0
      ? "" : `${plural(unknown, "row")} without the figure left out`;
  };
  const set = (limit) => {
    if (limit === null || !Number.isFinite(limit)) delete state.limits[metric];
    else state.limits[metric] = limit;
    say();
    updateSoon();
  };
  slider.addEventListener("input", () => {
    set(Number(slider.value) === open ? null : valueAt(Number(slider.value)));
    box.value = state.limits[metric] ?? "";
  });
  box.addEventListener("input", () => {
    set(box.valueAsNumber);
    slider.value = metric in state.limits ? stepOf(state.limits[metric]) : open;
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
  buildLimits();
  update();
}

const FAMILY_SIZES = [...groups(ROWS, (point) => point.family)]
  .map(([family, members]) => ({ family, size: unique(members.map((p) => p.id)).length }))
  .sort((a, b) => compareNames(a.family, b.family));

/** The legend: a button for each family. One click shows it alone, another one all again. */
function showFamilies() {
  const theme = currentTheme();
  const focused = document.activeElement?.dataset?.family;
  const buttons = FAMILY_SIZES.map(({ family, size }) => {
    const isOn = state.families.has(family);
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = DATA.families[family][theme.isDark ? 1 : 0];
    return element("button", {
      type: "button", "data-family": family, "aria-pressed": String(isOn),
      class: state.families.size > 0 && !isOn ? "family faded" : "family",
      onclick: (event) => chooseFamily(family, event.ctrlKey || event.metaKey || event.shiftKey),
    }, swatch, family, element("span", { class: "quiet" }, ` ${size}`));
  });
  const all = element("button", {
    type: "button", class: "family all", disabled: state.families.size === 0,
    onclick: () => chooseFamily(null),
  }, "All families");
  byId("families").replaceChildren(...buttons, all);
  if (focused !== undefined) {
    byId("families").querySelector(`[data-family="${CSS.escape(focused)}"]`)?.focus();
  }
}

function chooseFamily(family, isAdded = false) {
  const isAlone = state.families.size === 1 && state.families.has(family);
  if (family === null || (isAlone && !isAdded)) state.families.clear();
  else if (isAdded && state.families.has(family)) state.families.delete(family);
  else if (isAdded) state.families.add(family);
  else state.families = new Set([family]);
  update();
}
