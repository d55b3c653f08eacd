// Two rows side by side: differences with their intervals, as a table and a forest plot.
const FOREST = { width: 260, height: 22, edge: 12 };

// Whether a difference is significant: by the interval, and by the test.
function significant({ interval, p }) {
  return Boolean(interval) && (interval[0] > 0 || interval[1] < 0) && (p ?? 0) < 0.05;
}

const intervalText = (ends) => (ends ? `[${ends.map((end) => points(end)).join(", ")}]` : "");

function pText(p) {
  if (!known(p)) return "";
  if (p < 1e-9) return "< 1e-09";
  return p >= 0.001 ? fixed(p, 3) : p >= 1e-4 ? String(Number(p.toPrecision(1))) : p.toExponential(0).replace(/e-(\d)$/, "e-0$1");
}

// The scale of the forest plot in points: round ticks from the lowest to the highest end, with zero.
function forestScale(changes) {
  const ends = changes.flatMap((each) => [each.b - each.a, ...(each.interval ?? [])]).map((each) => 100 * each);
  const [low, high] = [Math.min(-0.5, ...ends), Math.max(0.5, ...ends)];
  const { width, edge } = FOREST;
  return { at: (value) => edge + ((value - low) / (high - low)) * (width - 2 * edge), ticks: ticks(low, high, 6) };
}

function forest(...parts) {
  return drawn("svg", { class: "forest", viewBox: `0 0 ${FOREST.width} ${FOREST.height}`, width: FOREST.width, height: FOREST.height, "aria-hidden": "true" }, ...parts);
}

const upright = (x, kind) => drawn("line", { class: kind, x1: x, x2: x, y1: 0, y2: FOREST.height });

function forestHead(scale) {
  return forest(...scale.ticks.map((value) => {
    const text = drawn("text", { class: "tick", x: scale.at(value), y: 15, "text-anchor": "middle" });
    text.textContent = value > 0 ? `+${value}` : String(value);
    return text;
  }));
}

function forestRow(change, scale, look) {
  const middle = FOREST.height / 2;
  const at = scale.at(100 * (change.b - change.a));
  const [low, high] = change.interval?.map((end) => scale.at(100 * end)) ?? [at, at];
  const whisker = drawn("path", { class: `range ${look}`, d: `M${low} ${middle - 4}V${middle + 4}M${low} ${middle}H${high}M${high} ${middle - 4}V${middle + 4}` });
  const mark = change.dataset ? drawn("circle", { class: `dot ${look}`, cx: at, cy: middle, r: 3.5 })
    : drawn("path", { class: `dot ${look}`, d: `M${at - 5} ${middle}L${at} ${middle - 5}L${at + 5} ${middle}L${at} ${middle + 5}Z` });
  return forest(...scale.ticks.map((value) => upright(scale.at(value), value ? "grid" : "zero")), change.interval ? whisker : null, mark);
}

function changeRow(change, scale) {
  const value = change.b - change.a;
  const look = significant(change) ? (value > 0 ? "good" : "bad") : "";
  const cell = (text, className = "") => make("td", { className, textContent: text });
  return make("tr", { className: change.dataset ? "" : "mean", "data-name": change.name },
    make("th", { scope: "row", className: "name word", textContent: named(change.name, "mean")?.head ?? change.name }),
    cell(percent(change.a)), cell(percent(change.b)), cell(points(value), look),
    make("td", { className: "drawn" }, forestRow(change, scale, look)),
    cell(intervalText(change.interval)), cell(pText(change.p)),
    ...[0, 1, 2].map((index) => cell(change.counts ? change.counts[index].toLocaleString("en") : "")));
}

function verdict(a, b, [first]) {
  if (!first) return `${a.label} and ${b.label} share no dataset and no mean.`;
  const value = first.b - first.a;
  const size = percent(Math.abs(value));
  const level = size === "0.0" ? "level with" : `${size} points ${value < 0 ? "below" : "above"}`;
  const ci = first.interval ? `, 95 % CI ${intervalText(first.interval)}${significant(first) ? "" : " (not significant)"}` : "";
  return `${b.label} is ${level} ${a.label} in ${named(first.name, "mean")?.head ?? first.name}${ci}.`;
}

const HEADS = [
  ["mean or dataset", ""], ["A", "The score of A, in percent."], ["B", "The score of B, in percent."],
  ["B − A", "The difference in points. Coloured if it is significant: p is below 0.05, and the interval excludes 0."],
  ["", ""], ["95 % CI", "The interval of the difference, in points."],
  ["p", "The p-value. Over datasets, Holm's correction is applied."],
  ["won", "Queries on which B is better."], ["tied", "Queries on which both are equal."], ["lost", "Queries on which B is worse."],
];

function headOf([text, help], index, scale) {
  if (!text) return make("td", { className: "drawn" }, make("span", { className: "unseen", textContent: "drawing, in points" }), forestHead(scale));
  return make("th", { scope: "col", className: index ? "" : "name word" }, make("span", help ? { textContent: text, "data-help": help, tabIndex: 0 } : { textContent: text }));
}

function drawComparison() {
  const [a, b] = ["side-a", "side-b"].map((id) => Number(get(id).selectedIndex));
  const { changes, notes } = a === b ? { changes: [], notes: [] } : comparison(a, b);
  const scale = forestScale(changes);
  get("verdict").textContent = a === b ? "Choose two models." : verdict(data.rows[a], data.rows[b], changes);
  get("changes").tHead.replaceChildren(make("tr", {}, ...HEADS.map((head, index) => headOf(head, index, scale))));
  get("changes").tBodies[0].replaceChildren(...changes.map((each) => changeRow(each, scale)));
  get("changes").classList.toggle("unpaired", !changes.some((each) => each.counts));
  get("changes").parentElement.hidden = !changes.length;
  get("compare-notes").replaceChildren(...notes.map((text) => make("li", { textContent: text })));
}

function startCompare() {
  const rows = data.rows.map(({ label }) => [label, label]);
  const own = data.rows.flatMap((row, index) => (row.kind === "measured" ? [index] : []));
  const datasets = (data.views[0]?.columns ?? []).map((name) => named(name, "dataset"));
  const scored = (row) => datasets.filter(({ values }) => known(values[row])).length;
  const rest = data.models.map(([head]) => [head, scored(head)]).sort((x, y) => y[1] - x[1]).map(([head]) => head);
  const heads = [...own, ...rest.filter((row) => !own.includes(row))];
  const [b, a] = own.length === 1 ? [own[0], heads[1]] : heads;
  choices(get("side-a"), rows, rows[a ?? 0]?.[0]);
  choices(get("side-b"), rows, rows[b ?? 0]?.[0]);
  get("compare").hidden = get("to-compare").hidden = data.rows.length < 2;
  state.bind("a", get("side-a"));
  state.bind("b", get("side-b"));
  for (const id of ["side-a", "side-b"]) get(id).addEventListener("change", drawComparison);
  get("swap").addEventListener("click", () => {
    [get("side-a").selectedIndex, get("side-b").selectedIndex] = [get("side-b").selectedIndex, get("side-a").selectedIndex];
    state.record();
    drawComparison();
  });
}
