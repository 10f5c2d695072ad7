// The frame of a drawing: Plotly's layout, panels, ranges and ticks of axes.

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

function axis(theme, title, more) {
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
    title: { text: title, standoff: 8, font: { size: 13, color: theme.ink } },
    ...more,
  };
}

/** The axes of a panel; `sides` has for x and y `{title, isLog, range}`, and ticks if not usual. */
function addAxes(layout, cell, sides, theme) {
  for (const [letter, other] of [["x", "y"], ["y", "x"]]) {
    const { title, isLog, range, ...more } = sides[letter];
    const isOutside = letter === "x" ? cell.isBottom : cell.isLeft;
    layout[`${letter}axis${cell.suffix}`] = axis(theme, isOutside ? title : "", {
      anchor: `${other}${cell.suffix}`,
      domain: cell[letter],
      type: isLog ? "log" : "linear",
      range: [...range],
      nticks: letter === "x" ? Math.max(3, Math.round(cell.width / 80)) : 7,
      ...logTicks(isLog, range),
      ...more,
    });
  }
  return { xaxis: `x${cell.suffix}`, yaxis: `y${cell.suffix}` };
}

/** The title of an axis, which says where it is logarithmic. */
function axisText(metric, isLog) {
  return METRICS[metric].axis + (isLog ? ", logarithmic" : "");
}

/** Height of the drawing, and the domains of panels in shares of it. */
function panelGrid(number, width, margin) {
  const most = width < 620 ? 1 : width < 1000 || number === 4 ? 2 : 3;
  const columns = Math.min(number, most);
  const rows = Math.ceil(number / columns);
  const inner = width - margin.l - margin.r;
  const gapX = columns > 1 ? 34 : 0;
  const gapY = 58;
  const panelWidth = (inner - gapX * (columns - 1)) / columns;
  const alone = width < 620 ? 330 : 460;
  const panelHeight = number === 1 ? alone : Math.min(300, Math.max(220, panelWidth * 0.8));
  const innerHeight = rows * panelHeight + (rows - 1) * gapY;
  const cells = [];
  for (let n = 0; n < number; n += 1) {
    const left = (n % columns) * (panelWidth + gapX);
    const top = Math.floor(n / columns) * (panelHeight + gapY);
    cells.push({
      suffix: n === 0 ? "" : String(n + 1),
      x: [left / inner, (left + panelWidth) / inner],
      y: [1 - (top + panelHeight) / innerHeight, 1 - top / innerHeight],
      width: panelWidth,
      height: panelHeight,
      isLeft: n % columns === 0,
      isBottom: n + columns >= number,
    });
  }
  return { cells, height: innerHeight + margin.t + margin.b };
}

/** The range of an axis with room for the marks; in powers of ten where it is logarithmic. */
function rangeOf(values, isLog, radiusShare) {
  const places = values.map((value) => (isLog ? Math.log10(value) : value)).filter(Number.isFinite);
  if (places.length === 0) return [0, 1];
  const low = places.reduce((a, b) => Math.min(a, b));
  const high = places.reduce((a, b) => Math.max(a, b));
  const span = high - low || (isLog ? 1 : Math.abs(high) || 1);
  const room = span * (0.05 + radiusShare);
  const isNearZero = !isLog && low >= 0 && low - room < 0;
  return [isNearZero ? Math.min(0, low - span * radiusShare) : low - room, high + room];
}

/** 1, 2, 5, 10, 20 on a logarithmic axis, written out. */
function logTicks(isLog, range) {
  if (!isLog) return {};
  const span = range[1] - range[0];
  const digits = span > 3.2 ? [1] : span > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  const values = [];
  for (let power = Math.floor(range[0]); power <= Math.ceil(range[1]); power += 1) {
    values.push(...digits.map((digit) => Number(`${digit}e${power}`)));
  }
  const ticktext = values.map((value) => formatSignificant(value, 4));
  return { tickmode: "array", tickvals: values, ticktext };
}

/** Text at the upper left corner of a panel. */
function cornerOf(cell, text, more) {
  return {
    text, showarrow: false, xref: "paper", yref: "paper", xanchor: "left",
    x: cell.x[0], y: cell.y[1], ...more,
  };
}

function panelTitle(text, cell, theme) {
  const font = { size: 13, color: theme.ink };
  return cornerOf(cell, `<b>${plain(text)}</b>`, { yanchor: "bottom", yshift: 6, font });
}

function cornerText(text, cell, theme) {
  return cornerOf(cell, plain(text), {
    yanchor: "top", xshift: 8, yshift: -6, font: { size: 12, color: theme.ink },
    bgcolor: `${theme.paper}cc`,
  });
}
