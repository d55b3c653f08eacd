// Plots of scores against size and cost. The table has the same values for screen readers.
const MARKS = new Map([
  ["measured", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z"],
  ["published", "M-4 -4H4V4H-4Z"],
  ["self-reported", "M0 -5.5L5.5 4.5H-5.5Z"],
  ["imported", "M0 -6L6 0L0 6L-6 0Z"],
]);
const COSTS = new Map([
  ["seconds", { what: "Run time in seconds (log scale)" }],
  ["GPU-hours", { what: "GPU-hours (log scale)" }],
  ["items/s", { what: "Items per second (log scale; more is cheaper)", falling: true }],
  ["step", { what: "Training step", linear: true, values: data.rows.map((row) => row.step) }],
  ["width", { what: "Vector width in dimensions (log scale)" }],
]);
const SIZE = { what: "Parameters (log scale)" };
const EDGE = { left: 52, right: 16, top: 30, bottom: 46 };

function short(value) {
  const [unit, letter] = [[1e9, "B"], [1e6, "M"], [1e3, "K"], [1, ""]].find(([least]) => value >= least) ?? [1, ""];
  return `${Number((value / unit).toPrecision(3))}${letter}`;
}

// The Pareto front: points above all points on the cheaper side, from cheap to expensive.
function paretoFront(all, falling) {
  const best = [];
  for (const point of all.toSorted((a, b) => (falling ? b.x - a.x : a.x - b.x) || b.y - a.y)) {
    if (!best.length || point.y > best.at(-1).y) best.push(point);
  }
  return best;
}

// The space that the stairs of the front take, step by step.
function stairBoxes(steps) {
  return steps.slice(1).flatMap(([x, y], index) => {
    const [before, height] = steps[index];
    return [
      { x: Math.min(before, x), y: height - 1, w: Math.abs(x - before), h: 2 },
      { x: x - 1, y: Math.min(y, height), w: 2, h: Math.abs(y - height) },
    ];
  });
}

function pointsOf(score, cost) {
  return shown
    .map((row) => ({ row, kind: data.rows[row].kind, x: cost.values[row], y: score.values[row], ends: score.ends[row] }))
    .filter(({ x, y }) => known(x) && known(y) && (x > 0 || cost.linear))
    .map((each) => ({ ...each, y: 100 * each.y, ends: each.ends?.map((end) => 100 * end) }));
}

// A scale from values to pixels, with its ticks.
function scaleOf(values, from, to, logarithmic, most) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (logarithmic) [low, high] = [low / 1.25, high * 1.25];
  else [low, high] = [low - 0.06 * (high - low || 1), high + 0.06 * (high - low || 1)];
  const as = logarithmic ? Math.log10 : (value) => value;
  const scale = (value) => from + ((as(value) - as(low)) / (as(high) - as(low))) * (to - from);
  return { scale, ticks: logarithmic ? logTicks(low, high, most) : ticks(low, high, most) };
}

function axes(x, y, size, what, score) {
  const line = (x1, y1, x2, y2) => drawn("line", { x1, y1, x2, y2, class: "grid" });
  const text = (at, given) => {
    const made = drawn("text", given);
    made.textContent = at;
    return made;
  };
  return [
    ...x.ticks.map((at) => line(x.scale(at), EDGE.top, x.scale(at), size.height - EDGE.bottom)),
    ...y.ticks.map((at) => line(EDGE.left, y.scale(at), size.width - EDGE.right, y.scale(at))),
    ...x.ticks.map((at) => text(short(at), { class: "tick", x: x.scale(at), y: size.height - EDGE.bottom + 16, "text-anchor": "middle" })),
    ...y.ticks.map((at) => text(String(at), { class: "tick", x: EDGE.left - 6, y: y.scale(at) + 4, "text-anchor": "end" })),
    text(what, { class: "axis", x: (EDGE.left + size.width - EDGE.right) / 2, y: size.height - 8, "text-anchor": "middle" }),
    text(`${score.head} (%)`, { class: "axis", transform: `translate(13 ${(EDGE.top + size.height - EDGE.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }),
  ];
}

function legendOf(kinds, size) {
  let at = EDGE.left;
  const entry = (text, mark) => {
    const label = drawn("text", { class: "tick", x: at + 12, y: 17 });
    label.textContent = text;
    mark.setAttribute("transform", `translate(${at + 2} 13)`);
    at += 30 + textWidth(text);
    return at - 14 < size.width ? [mark, label] : [];
  };
  return [
    ...kinds.flatMap((kind) => entry(kind, drawn("path", { d: MARKS.get(kind), class: `mark ${kind}` }))),
    ...entry("Pareto front", drawn("path", { d: "M-6 0H8", class: "front" })),
  ];
}

// Labels of one's own models, then of the Pareto front, where there is room.
function labelsOf(all, best, stairs, x, y, size) {
  const own = all.filter(({ kind }) => kind === "measured");
  const wanted = [...new Set([...own, ...best.toReversed()])].map((point) => {
    const text = clipped(data.rows[point.row].label, 30);
    const bold = point.kind === "measured";
    return { text, bold, x: x.scale(point.x), y: y.scale(point.y), w: textWidth(text, `${bold ? "bold " : ""}12px system-ui, sans-serif`) + 2, h: 15 };
  });
  const marks = all.map((point) => ({ x: x.scale(point.x) - 6, y: y.scale(point.y) - 6, w: 12, h: 12 }));
  const area = { x: EDGE.left, y: EDGE.top, w: size.width - EDGE.left - EDGE.right, h: size.height - EDGE.top - EDGE.bottom };
  return placeLabels(wanted, [...marks, ...stairs], area).map(({ text, bold, box }) => {
    const label = drawn("text", { class: bold ? "label own" : "label", x: box.x + 1, y: box.y + 11.5 });
    label.textContent = text;
    return label;
  });
}

function markOf(point, x, y, score, column) {
  const { row, kind } = point;
  const own = kind === "measured";
  const at = `translate(${x.scale(point.x).toFixed(2)} ${y.scale(point.y).toFixed(2)})${own ? " scale(1.35)" : ""}`;
  const text = `${data.rows[row].label}: ${score.texts[row]} ${score.extras[row]}`.trim();
  return drawn("path", { d: MARKS.get(kind), class: `mark ${kind}${own ? " own" : ""}`, transform: at, "data-row": row, "data-help": `${text}; ${column?.texts[row] ?? short(point.x)}` });
}

// Draws one plot. Returns a sentence if there is nothing to draw.
function scatter(id, score, cost) {
  const all = pointsOf(score, cost);
  const box = get(id).closest("figure");
  box.hidden = !all.length;
  if (!all.length) return `No model above has both ${score.head} and ${cost.name}.`;
  const size = { width: Math.max(280, get(id).parentElement.clientWidth), height: isPhone() ? 320 : 420 };
  const x = scaleOf(all.map((each) => each.x), EDGE.left, size.width - EDGE.right, !cost.linear, isPhone() ? 5 : 8);
  const heights = all.flatMap((each) => [each.y, ...(each.ends ?? [])]);
  const y = scaleOf(heights, size.height - EDGE.bottom, EDGE.top, false, 8);
  const best = paretoFront(all, cost.falling);
  const steps = best.map((each) => [x.scale(each.x), y.scale(each.y)]);
  const stairs = steps.map(([at, height], index) => (index ? `H${at.toFixed(1)}V${height.toFixed(1)}` : `M${at.toFixed(1)} ${height.toFixed(1)}`)).join("");
  const kinds = [...MARKS.keys()].filter((kind) => all.some((each) => each.kind === kind));
  const whiskers = all.filter((each) => each.ends).map(({ x: at, ends, kind }) =>
    drawn("line", { class: `whisk ${kind}`, x1: x.scale(at), x2: x.scale(at), y1: y.scale(ends[0]), y2: y.scale(ends[1]) }));
  const marks = all.toSorted((a, b) => (a.kind === "measured") - (b.kind === "measured")).map((each) => markOf(each, x, y, score, cost.column));
  get(id).setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  get(id).style.height = `${size.height}px`;
  get(id).replaceChildren(...axes(x, y, size, cost.what, score), ...legendOf(kinds, size), ...whiskers,
    drawn("path", { d: stairs, class: "front" }), ...marks, ...labelsOf(all, best, stairBoxes(steps), x, y, size));
  const without = shown.length - all.length;
  const count = `${all.length} row${all.length === 1 ? "" : "s"}${without ? `; ${without} more lack one of the two` : ""}`;
  box.querySelector("h3").textContent = `Pareto front of ${score.head} by ${cost.name}`;
  box.querySelector("figcaption").textContent = `${count}.`;
  get(id).setAttribute("aria-label", `${score.head} by ${cost.name}: ${count}. The table has the values. On the Pareto front: ${best.map((each) => data.rows[each.row].label).join(", ")}.`);
  return "";
}

function costOf(name) {
  const column = named(name, "fact");
  const cost = COSTS.get(name) ?? SIZE;
  return { name: name === "size" ? "parameters" : name, column, ...cost, values: cost.values ?? column?.values ?? data.rows.map(() => null) };
}

function scoreColumns() {
  const means = columnsOf("mean");
  return [...means, ...columnsOf("dataset").filter(({ name }) => !means.some((mean) => mean.name === name))];
}

function drawPlots() {
  const score = scoreColumns().find(({ name }) => name === get("plot-score").value);
  if (!score) return;
  const cost = get("plot-cost").value;
  get("cost-plot").closest("figure").hidden = !cost;
  get("plot-gaps").textContent = [
    scatter("size-plot", score, costOf("size")),
    cost ? scatter("cost-plot", score, costOf(cost)) : "",
  ].join(" ").trim();
}

function startPlots() {
  const scores = scoreColumns();
  const ranked = scores.find(({ name }) => name === data.ranked_by);
  choices(get("plot-score"), scores.map(({ head, name }) => [name, head]), ranked?.name);
  const costs = [...COSTS.keys()].filter((name) => costOf(name).values.some(known));
  const both = (name) => costOf(name).values.some((value, row) => known(value) && known(ranked?.values[row]));
  choices(get("plot-cost"), costs.map((name) => [name, costOf(name).what.replace(" (log scale)", "")]), costs.find(both));
  get("costs").hidden = !costs.length;
  state.bind("plot", get("plot-score"));
  state.bind("cost", get("plot-cost"));
  for (const id of ["plot-score", "plot-cost"]) get(id).addEventListener("change", drawPlots);
  for (const figure of document.querySelectorAll("#plots figure")) {
    const drawing = figure.querySelector("svg");
    drawing.addEventListener("click", ({ target }) => target.dataset.row && showModel(Number(target.dataset.row)));
    figure.addEventListener("click", ({ target }) => {
      if (target.dataset.save === "svg") saveSvg(drawing, drawing.id);
      if (target.dataset.save === "png") savePng(drawing, drawing.id);
    });
  }
  let wide = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== wide) drawSoon();
    wide = innerWidth;
  });
}
