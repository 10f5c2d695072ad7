// The page: light and dark, its width, and the start.

const SYSTEM_DARK = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : SYSTEM_DARK.matches;
}

function currentTheme() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "ink", "muted", "grid", "line", "accent", "warning"];
  return {
    isDark: isDark(), font: getComputedStyle(document.body).fontFamily,
    ...Object.fromEntries(
      names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])),
  };
}

function nameThemeButton() {
  const other = isDark() ? "Light" : "Dark";
  byId("theme").textContent = other;
  byId("theme").setAttribute("aria-label", `${other}: switch the colours`);
}

function redrawInTheme() {
  nameThemeButton();
  showFamilies();
  showBest();
  showTable();
  showChart();
}

function listenToPage() {
  byId("search").addEventListener("input", ({ target }) => {
    state.search = target.value;
    updateSoon();
  });
  byId("best-count").addEventListener("input", ({ target }) => {
    if (target.valueAsNumber >= 1) state.best = Math.min(50, Math.floor(target.valueAsNumber));
    showBest();
    showChart();
  });
  const actions = {
    reset: resetFilters,
    csv: downloadCsv,
    whole: showChart,
    png: () => savePicture("png"),
    svg: () => savePicture("svg"),
    theme: () => {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      redrawInTheme();
    },
    details: ({ target }) => {
      if (target === byId("details")) target.close();
    },
  };
  for (const [id, action] of Object.entries(actions)) byId(id).addEventListener("click", action);
  SYSTEM_DARK.addEventListener("change", redrawInTheme);
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
  const stated = (name) => unique(ROWS.map((point) => point[name])).filter(Boolean);
  const devices = stated("device");
  const more = devices.length > 4 ? ` and ${devices.length - 4} more` : "";
  const parts = [
    plural(stated("id").length, "architecture"),
    `${devices.slice(0, 4).join(", ")}${more}` || "no device",
    stated("dtype").join(", "),
    stated("when").map((when) => when.slice(0, 10)).sort().at(-1),
  ];
  byId("extent").textContent = ROWS.length === 0
    ? "No figures" : parts.filter(Boolean).join(" · ");
}

function showRemarks() {
  const remarks = byId("remarks");
  remarks.hidden = DATA.remarks.length === 0;
  remarks.querySelector("summary").textContent = plural(DATA.remarks.length, "remark");
  remarks.querySelector("ul")
    .replaceChildren(...DATA.remarks.map((remark) => element("li", {}, remark)));
}

function start() {
  if (innerWidth < 900) byId("filters").open = false;
  state.chart = CHARTS.find((chart) => `#${chart.name}` === location.hash) ?? CHARTS[0];
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
