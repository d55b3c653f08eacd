// Plots of scores against size and cost, by Chart.js. The table has the same values for screen readers.
const KINDS = ["measured", "published", "self-reported", "imported"];
const MARKS = ["circle", "rect", "triangle", "rectRot"];
const charts = {};

// Draws intervals as vertical lines, and the names of the points on the Pareto front.
const details = {
  id: "details",
  afterDatasetsDraw(chart) {
    const { ctx, scales, chartArea } = chart;
    const colour = shades();
    ctx.save();
    for (const set of chart.data.datasets.filter((each) => each.type !== "line")) {
      ctx.strokeStyle = set.borderColor;
      for (const { x, low, high } of set.data.filter((each) => known(each.low))) {
        ctx.beginPath();
        ctx.moveTo(scales.x.getPixelForValue(x), scales.y.getPixelForValue(low));
        ctx.lineTo(scales.x.getPixelForValue(x), scales.y.getPixelForValue(high));
        ctx.stroke();
      }
    }
    ctx.fillStyle = colour("text");
    ctx.font = "12px system-ui, sans-serif";
    const taken = [];
    for (const { x, y, row } of chart.data.datasets[0].data.toReversed()) {
      const [text, at, height] = [clipped(row.label, 28), scales.x.getPixelForValue(x), scales.y.getPixelForValue(y)];
      const wide = ctx.measureText(text).width;
      const from = at > (chartArea.left + chartArea.right) / 2 ? at - wide - 7 : at + 7;
      if (taken.some((each) => from < each.to && each.from < from + wide && Math.abs(each.height - height) < 14)) continue;
      taken.push({ from, to: from + wide, height });
      ctx.fillText(text, from, height - 6);
    }
    ctx.restore();
  },
};

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// The Pareto front: points above all points on the cheaper side, from cheap to expensive.
function paretoFront(points, falling) {
  const best = [];
  for (const point of points.toSorted((a, b) => (falling ? b.x - a.x : a.x - b.x) || b.y - a.y)) {
    if (!best.length || point.y > best.at(-1).y) best.push(point);
  }
  return best;
}

function axis(text, colour, more = {}) {
  return {
    title: { display: true, text, color: colour("faint") },
    ticks: { color: colour("faint"), maxRotation: 0 },
    grid: { color: colour("line") },
    ...more,
  };
}

function renew(id, config) {
  charts[id]?.destroy();
  charts[id] = new Chart(get(id), { ...config, options: { animation: false, maintainAspectRatio: false, ...config.options } });
}

// The interval in percent; empty for a printed mean that its parts contradict, since another value counts.
function ends(row, score) {
  const [, low, high] = figure(row, score);
  return known(low) && row.means[score]?.sign !== "*" ? { low: 100 * low, high: 100 * high } : {};
}

// Draws one plot. Returns a sentence if there is nothing to draw.
function scatter(id, name, value, what, score, { logarithmic = true, falling = false } = {}) {
  const points = shown
    .map((row) => ({ row, x: value(row), y: standing(row, score) }))
    .filter((each) => known(each.x) && known(each.y) && (each.x > 0 || !logarithmic))
    .map((each) => ({ ...each, y: 100 * each.y, ...ends(each.row, score) }));
  const without = shown.length - points.length;
  const count = `${points.length} model${points.length === 1 ? "" : "s"}`;
  const caption = `${score} against ${what}: ${count}${without ? `; ${without} more lack one of the two` : ""}.`;
  const box = get(id).closest("figure");
  box.querySelector("figcaption").textContent = caption;
  box.hidden = !points.length;
  if (!points.length) return `No model above has both ${score} and ${what}.`;
  const colour = shades();
  const heights = points.flatMap((each) => [each.y, each.low ?? each.y, each.high ?? each.y]);
  const best = paretoFront(points, falling);
  const sets = KINDS.map((kind, index) => ({
    label: kind,
    data: points.filter((each) => each.row.kind === kind),
    pointStyle: MARKS[index],
    pointRadius: 5,
    borderColor: colour(kind),
    backgroundColor: `${colour(kind)}99`,
  })).filter((set) => set.data.length);
  const line = { type: "line", label: "Pareto front", data: best, stepped: true, pointStyle: "line", pointRadius: 0, pointHitRadius: 0, borderWidth: 1.5, borderColor: colour("faint"), borderDash: [4, 4] };
  renew(id, {
    type: "scatter",
    data: { datasets: [line, ...sets] },
    plugins: [details],
    options: {
      scales: {
        x: axis(what, colour, { type: logarithmic ? "logarithmic" : "linear", ticks: { color: colour("faint"), maxTicksLimit: 8, callback: (tick) => (name === "size" ? amount(name, tick) : Number(tick.toPrecision(3)).toLocaleString("en")) } }),
        y: axis(`${score}, percent`, colour, { suggestedMin: Math.min(...heights), suggestedMax: Math.max(...heights) }),
      },
      plugins: {
        legend: { labels: { color: colour("text"), usePointStyle: true } },
        tooltip: {
          filter: (item) => item.dataset.type !== "line",
          callbacks: { label: ({ raw }) => `${raw.row.label}: ${raw.y.toFixed(1)} ${known(raw.low) ? `[${raw.low.toFixed(1)}, ${raw.high.toFixed(1)}]` : ""}; ${amount(name, raw.x)}` },
        },
      },
      onClick: (_event, hits) => hits.length && showModel(hits.at(-1).element.$context.raw.row),
    },
  });
  get(id).setAttribute("aria-label", `${caption} The table has the values. On the Pareto front: ${best.map((each) => each.row.label).join(", ")}.`);
  return "";
}

const COSTS = {
  seconds: { value: (row) => row.facts.seconds, what: "seconds" },
  "GPU-hours": { value: (row) => row.facts["GPU-hours"], what: "GPU-hours" },
  "items/s": { value: (row) => row.facts["items/s"], what: "items per second (more is cheaper)", falling: true },
  step: { value: (row) => row.step, what: "training step", logarithmic: false },
  width: { value: (row) => row.facts.width, what: "vector width" },
};

function drawPlots() {
  const score = get("plot-score").value;
  const cost = COSTS[get("plot-cost").value];
  get("cost-plot").closest("figure").hidden = !cost;
  get("plot-gaps").textContent = [
    scatter("size-plot", "size", (row) => row.facts.size, "parameters", score),
    cost ? scatter("cost-plot", get("plot-cost").value, cost.value, cost.what, score, cost) : "",
  ].join(" ").trim();
}

function startPlots() {
  const names = [...data.means, ...data.tasks.filter((task) => !data.means.includes(task))];
  choices(get("plot-score"), names.map((name) => [name, name]), data.ranked_by);
  const costs = Object.keys(COSTS).filter((name) => data.rows.some((row) => known(COSTS[name].value(row))));
  const first = costs.find((name) => data.rows.some((row) => known(COSTS[name].value(row)) && known(standing(row, data.ranked_by))));
  choices(get("plot-cost"), costs.map((name) => [name, COSTS[name].what]), first);
  get("costs").hidden = !costs.length;
  for (const id of ["plot-score", "plot-cost"]) get(id).addEventListener("change", drawPlots);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());
}
