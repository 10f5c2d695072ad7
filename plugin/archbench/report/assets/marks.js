// Marks and texts: colours, shapes, widths, what the key below a chart says.

const SHAPES = [
  "circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "pentagon", "star",
];
const SETUPS = unique(ROWS.map((point) => point.setup));

/** `#rrggbb`: the hue of the family, darker with more params. */
function shadeOf(point, theme) {
  return point.shade[theme.isDark ? 1 : 0];
}

function shapeOf(point) {
  return SHAPES[SETUPS.indexOf(point.setup) % SHAPES.length];
}

/** A point whose place on the axes was printed by others, at least in part, is an open ring. */
function isPublished(point, metrics) {
  return metrics.some((metric) => kindOf(point, metric) === "published");
}

/** Fill and outline of marks: solid where measured or counted, pale where published. */
function inks(points, metrics, theme) {
  const line = points.map((point) => shadeOf(point, theme));
  const fill = points.map((point, n) => line[n] + (isPublished(point, metrics) ? "26" : "cc"));
  return { fill, line };
}

/** A colour on paper, of so much strength; opaque, so that no grid shows through. */
function onPaper(colour, strength, theme) {
  const parts = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const paper = parts(theme.paper);
  const mixed = parts(colour).map((part, n) => part * strength + paper[n] * (1 - strength));
  return `#${mixed.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
}

/** Plotly reads some HTML in texts; a name is never HTML. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const PEN = document.createElement("canvas").getContext("2d");
const WIDTHS = new Map();

function widthOf(text, size, family) {
  const key = `${size} ${text}`;
  if (!WIDTHS.has(key)) {
    PEN.font = `${size}px ${family}`;
    WIDTHS.set(key, PEN.measureText(text).width);
  }
  return WIDTHS.get(key);
}

function shortened(text, room, size, family) {
  if (widthOf(text, size, family) <= room) return text;
  let end = text.length;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`, size, family) > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** What marks mean, for the key under a chart. */
function keyOf(points, metrics, { shapes = false, circles = null, settings = {} }) {
  const key = [];
  const published = points.filter((point) => isPublished(point, metrics));
  if (published.length < points.length) {
    key.push({ mark: "filled", text: "measured or counted here" });
  }
  if (published.length > 0) {
    const names = metrics.filter((metric) => published.some((p) => isPublished(p, [metric])));
    const titles = unique(names).map((metric) => METRICS[metric].title).join(", ");
    key.push({ mark: "open", text: `published: ${titles}` });
  }
  if (shapes) {
    for (const point of new Map(points.map((one) => [one.setup, one])).values()) {
      key.push({ mark: shapeOf(point), text: point.setup || "no device" });
    }
  }
  if (circles) {
    const text = METRICS[circles.metric].title;
    key.push({ mark: "circles", circles: circles.examples, text });
  }
  if (settings.front) key.push({ mark: "line", text: "Pareto front" });
  if (settings.bound && canBound(settings)) key.push({ mark: "dots", text: "upper bound" });
  if (settings.fit) key.push({ mark: "dashes", text: "fitted line" });
  return key;
}
