// Figures: reading the data in the page, numbers as text, rows as CSV.

const DATA = JSON.parse(document.getElementById("data").textContent);
const METRICS = DATA.metrics;
const PRESENT = Object.keys(DATA.at);
const POINTS = readPoints(DATA);
const COLLATOR = new Intl.Collator("en", { numeric: true });

/** Points as objects; `figures` holds for each metric `[value, kind, source, low, high]` or undefined. */
function readPoints(data) {
  const columns = Object.entries(data.columns);
  const count = data.columns.id.at.length;
  const points = [];
  for (let n = 0; n < count; n += 1) {
    const point = { n, figures: {} };
    for (const [name, column] of columns) point[name] = column.values[column.at[n]];
    for (const metric of PRESENT) {
      const place = data.at[metric][n];
      if (place >= 0) point.figures[metric] = data.figures[place];
    }
    for (const metric of PRESENT) {
      if (data.at[metric][n] === -2) point.figures[metric] = derived(metric, point);
    }
    point.target = targetOf(point);
    point.setup = [point.device, point.dtype, point.unusual].filter(Boolean).join(" ");
    point.cache = point.cold_cache === null ? null : point.cold_cache ? "cold" : "warm";
    point.text = `${point.name} ${point.id} ${point.family}`.toLowerCase();
    points.push(point);
  }
  return points;
}

/** What archbench.core.points.with_derived makes of a point's other figures. */
function derived(metric, point) {
  const { top1, params, macs, latency } = point.figures;
  const published = DATA.kinds.indexOf("published");
  const share = (above, below, scale) => {
    const kind = above[1] === published || below[1] === published ? published : DATA.kinds.indexOf("derived");
    return [(above[0] / below[0]) * scale, kind, `${DATA.sources[above[2]]}; ${DATA.sources[below[2]]}`];
  };
  const batch = point.batch_size;
  const [value, kind, source, ...ends] = latency ?? [];
  const made = {
    density: () => share(top1, params, 1e6),
    top1_per_gmac: () => share(top1, macs, 1e9),
    latency_per_image: () => [value / batch, kind, source, ...ends.map((end) => end / batch)],
    throughput: () => [batch / value, kind, source, ...ends.map((end) => batch / end).reverse()],
  };
  return made[metric]();
}

function targetOf(point) {
  if (!point.device) return "";
  const parts = [point.device];
  if (point.dtype) parts.push(point.dtype);
  if (point.batch_size !== null) parts.push(`batch ${point.batch_size}${point.largest_batch ? " (max)" : ""}`);
  if (point.threads !== null && point.threads !== 1) parts.push(`${point.threads} threads`);
  if (point.unusual) parts.push(point.unusual);
  return parts.join(" ");
}

/** resnet18 before resnet101. */
function compareNames(a, b) {
  return COLLATOR.compare(a, b);
}

/** In SI, undefined where there is none. */
function valueOf(point, metric) {
  return point.figures[metric]?.[0];
}

/** In the unit that is printed, undefined where there is none. */
function shownOf(point, metric) {
  const figure = point.figures[metric];
  return figure === undefined ? undefined : figure[0] * METRICS[metric].scale;
}

function kindOf(point, metric) {
  const figure = point.figures[metric];
  return figure === undefined ? undefined : DATA.kinds[figure[1]];
}

function sourceOf(point, metric) {
  const source = point.figures[metric][2];
  return typeof source === "number" ? DATA.sources[source] : source;
}

/** The ends of a figure's interval in the printed unit, null where it is not known. */
function intervalOf(point, metric) {
  const figure = point.figures[metric];
  if (figure === undefined || figure.length < 5) return null;
  return [figure[3] * METRICS[metric].scale, figure[4] * METRICS[metric].scale];
}

function textOf(point, metric) {
  const value = shownOf(point, metric);
  if (value === undefined) return "";
  return metric === "top1" ? value.toFixed(2) : formatSignificant(value, METRICS[metric].digits);
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

/** Every attribute and figure, unrounded, in SI: what `archbench report --format=csv` writes. */
function csvOf(points) {
  const attributes = Object.keys(DATA.columns);
  const metrics = Object.keys(METRICS).filter((metric) => points.some((point) => point.figures[metric]));
  const suffixes = ["", "_low", "_high", "_kind", "_source"];
  const lines = [[...attributes, ...metrics.flatMap((metric) => suffixes.map((suffix) => metric + suffix))]];
  for (const point of points) {
    const line = attributes.map((name) => point[name] ?? "");
    for (const metric of metrics) {
      const figure = point.figures[metric];
      if (figure === undefined) line.push("", "", "", "", "");
      else {
        const [value, , , low = "", high = ""] = figure;
        line.push(value, low, high, kindOf(point, metric), sourceOf(point, metric));
      }
    }
    lines.push(line);
  }
  return lines.map((line) => `${line.map(csvField).join(",")}\n`).join("");
}

/** What a spreadsheet would compute is a text there, as archbench.report.tables has it. */
function csvField(value) {
  const isFormula = /^\s*[=+\-@]/.test(value) && !Number.isFinite(Number(value));
  const text = `${isFormula ? "'" : ""}${value}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
