// Two rows: the comparison of `llave compare` if the page has it, else only the differences.
function comparison(a, b) {
  const found = data.pairs.find((pair) => (pair.a === a && pair.b === b) || (pair.a === b && pair.b === a));
  if (!found) return { changes: bareChanges(data.rows[a], data.rows[b]), notes: [
    `The page has intervals for the first ${data.compared} rows, measured ones first. For others run: llave compare A B.`,
  ] };
  return found.a === a ? found : { changes: found.changes.map(turned), notes: found.notes };
}

function turned(change) {
  const ends = change.interval;
  return { ...change, a: change.b, b: change.a, interval: ends && [-ends[1], -ends[0]], counts: change.counts?.toReversed() };
}

function bareChanges(a, b) {
  const names = [...data.means.map((name) => [name, false]), ...data.tasks.map((name) => [name, true])];
  return names
    .filter(([name, dataset]) => !(dataset && data.means.includes(name)))
    .map(([name, dataset]) => ({ name, dataset, a: standing(a, name), b: standing(b, name), interval: null, p: null, counts: null }))
    .filter((each) => known(each.a) && known(each.b));
}

// Whether a difference is significant: by the interval, and by the test if there is one.
function significant(change) {
  return change.interval && (change.interval[0] > 0 || change.interval[1] < 0) && (change.p ?? 0) < 0.05;
}

function changeRow(change, largest) {
  const value = change.b - change.a;
  const colour = significant(change) ? (value > 0 ? "good" : "bad") : "";
  const bar = make("i");
  bar.style.setProperty("--from", `${50 + Math.min(0, (50 * value) / largest)}%`);
  bar.style.setProperty("--wide", `${Math.abs((50 * value) / largest)}%`);
  const cell = (text, className = "") => make("td", { className, textContent: text });
  return make("tr", { className: change.dataset ? "" : "mean" },
    make("th", { scope: "row", className: "name word", textContent: change.name }),
    cell(percent(change.a)), cell(percent(change.b)), cell(signed(value), colour),
    cell(change.interval ? interval(...change.interval) : ""),
    make("td", { className: colour }, make("span", { className: "bar", "aria-hidden": "true" }, bar)),
    cell(known(change.p) ? (change.p < 0.001 ? "< 0.001" : change.p.toFixed(3)) : ""),
    ...[0, 1, 2].map((index) => cell(change.counts ? change.counts[index].toLocaleString("en") : "")));
}

function verdict(a, b, [first]) {
  if (!first) return `${a.label} and ${b.label} share no dataset and no mean.`;
  const value = first.b - first.a;
  const size = percent(Math.abs(value));
  const points = size === "0.0" ? "level with" : `${size} points ${value < 0 ? "below" : "above"}`;
  const ci = first.interval ? `, 95 % CI ${interval(...first.interval)}${significant(first) ? "" : " (not significant)"}` : "";
  return `${b.label} is ${points} ${a.label} in ${first.name}${ci}.`;
}

function drawComparison() {
  const [a, b] = ["side-a", "side-b"].map((id) => Number(get(id).value));
  const { changes, notes } = a === b ? { changes: [], notes: [] } : comparison(a, b);
  const largest = Math.max(...changes.map((each) => Math.abs(each.b - each.a)), 0.001);
  get("verdict").textContent = a === b ? "Choose two models." : verdict(data.rows[a], data.rows[b], changes);
  const heads = ["", "A", "B", "B − A", "95 % CI", "", "p", "won", "tied", "lost"];
  get("changes").tHead.replaceChildren(make("tr", {}, ...heads.map((text, index) =>
    make(text ? "th" : "td", { scope: text ? "col" : "", className: index ? "" : "name" }, make("span", { textContent: text })))));
  get("changes").tBodies[0].replaceChildren(...changes.map((each) => changeRow(each, largest)));
  get("changes").parentElement.hidden = !changes.length;
  const meaning = changes.some((each) => known(each.p))
    ? ["Colour: significant, that is p is below 0.05 and the 95 % CI excludes 0. Holm's correction over datasets is applied to their p. Won, tied, lost: numbers of queries."] : [];
  get("compare-notes").replaceChildren(...[...meaning, ...notes].map((text) => make("li", { textContent: text })));
}

function startCompare() {
  const rows = data.rows.map((row, index) => [String(index), row.label]);
  const own = data.rows.map((row, index) => index).filter((index) => data.rows[index].kind === "measured");
  const fullest = data.pairs.toSorted((x, y) => y.changes.length - x.changes.length)[0] ?? { a: 0, b: 1 };
  const [b, a] = own.length > 1 ? own : [fullest.a, fullest.b];
  choices(get("side-a"), rows, String(a));
  choices(get("side-b"), rows, String(b));
  get("compare").hidden = data.rows.length < 2;
  for (const id of ["side-a", "side-b"]) get(id).addEventListener("change", drawComparison);
  get("swap").addEventListener("click", () => {
    [get("side-a").value, get("side-b").value] = [get("side-b").value, get("side-a").value];
    drawComparison();
  });
}
