// Figures: reading the data in the page, numbers as text, rows as CSV.

const DATA = JSON.parse(document.getElementById("data").textContent);
const METRICS = DATA.metrics;
const AXES = DATA.axes;
const PRESENT = Object.keys(DATA.at);
const ROWS = readRows();
const COLLATOR = new Intl.Collator("en", { numeric: true });

/** Points as objects; `figures` has `[value, kind, source, low, high]` by metric, or undefined. */
function readRows() {
  const columns = Object.entries({ ...DATA.columns, ...DATA.looks });
  return DATA.columns.id.at.map((_, n) => {
    const point = { n, values: {} };
    for (const [name, { values, at }] of columns) point[name] = values[at[n]];
    for (const metric of PRESENT) point.values[metric] = DATA.values[DATA.at[metric][n]];
    point.setup = [point.device, point.dtype, point.unusual].filter(Boolean).join(" ");
    point.text = `${point.name} ${point.id} ${point.family}`.toLowerCase();
    return point;
  });
}

/** What a point states for people: `cold cache` of a flag, nothing where it states nothing. */
function statedOf(point, name) {
  const value = point[name] ?? "";
  return AXES[name]?.texts[value] ?? String(value);
}

/** resnet18 before resnet101. */
function compareNames(a, b) {
  return COLLATOR.compare(a, b);
}

function unique(values) {
  return [...new Set(values)];
}

/** In SI, undefined where there is none. */
function valueOf(point, metric) {
  return point.values[metric]?.[0];
}

/** In the unit that is printed, undefined where there is none. */
function shownOf(point, metric) {
  const figure = point.values[metric];
  return figure === undefined ? undefined : figure[0] * METRICS[metric].scale;
}

function kindOf(point, metric) {
  return DATA.kinds[point.values[metric]?.[1]];
}

function sourceOf(point, metric) {
  return DATA.sources[point.values[metric][2]];
}

/** Whether other work on the machine keeps a figure from being trusted. */
function isNoisy(point, metric) {
  return (point.noisy ?? []).includes(metric);
}

function textOf(point, metric) {
  const value = shownOf(point, metric);
  const { decimals, digits } = METRICS[metric];
  if (value === undefined) return "";
  const text = decimals === null ? formatSignificant(value, digits) : value.toFixed(decimals);
  return `${isNoisy(point, metric) ? "~" : ""}${text}`;
}

/** `12 to 13.1`, empty where an end is unknown. */
function rangeText(metric, ends) {
  const { scale, digits } = METRICS[metric];
  if (ends.length < 2 || !ends.every(Number.isFinite)) return "";
  return ends.map((end) => formatSignificant(end * scale, digits)).join(" to ");
}

/** As archbench.metrics.format_significant prints it: halves to even, never an exponent. */
function formatSignificant(value, digits) {
  if (value === 0) return "0";
  const rounded = roundHalfEven(value, digits);
  if (Math.abs(rounded) < 1e-4) return value.toFixed(Math.min(digits + 4, 100));
  return Math.abs(rounded) >= 1e21 ? BigInt(rounded).toString() : String(rounded);
}

function roundHalfEven(value, digits) {
  const up = Number(value.toPrecision(digits));
  const rest = value.toExponential(60).split("e")[0].replace(/[-.]/g, "").slice(digits);
  if (!/^50*$/.test(rest)) return up;
  const last = up.toExponential(digits - 1).split("e")[0].at(-1);
  return Number(last) % 2 === 0 ? up : Number((2 * value - up).toPrecision(digits));
}

function count(number) {
  return number.toLocaleString("en");
}

function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Every field and figure, unrounded, in SI: what `archbench report --format=csv` writes. */
function csvOf(points) {
  const fields = Object.keys(DATA.columns);
  const metrics = PRESENT.filter((metric) => points.some((point) => point.values[metric]));
  const suffixes = ["", "_low", "_high", "_kind", "_source"];
  const heads = metrics.flatMap((metric) => suffixes.map((suffix) => metric + suffix));
  const lines = points.map((point) => [
    ...fields.map((name) => point[name] ?? ""),
    ...metrics.flatMap((metric) => {
      if (!point.values[metric]) return suffixes.map(() => "");
      const [value, , , low = "", high = ""] = point.values[metric];
      return [value, low, high, kindOf(point, metric), sourceOf(point, metric)];
    }),
  ]);
  return [[...fields, ...heads], ...lines]
    .map((line) => `${line.map(csvField).join(",")}\n`).join("");
}

/** What a spreadsheet would compute is a text there, as archbench.report.tables has it. */
function csvField(value) {
  const isFormula = /^\s*[=+\-@]/.test(value) && !Number.isFinite(Number(value));
  const text = `${isFormula ? "'" : ""}${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
