// The board: columns, filters, order. `shown` has the rows that pass the filters, in order.
const FACTS = ["size", "width", "protocol", "date", "seconds", "items/s", "GPU-hours", "source"];
const WORDS = new Set(["protocol", "date", "source"]);
const order = { name: "rank", falling: false };
let shown = [];

function scoreColumn(name, heat) {
  return { name, heat, score: true, value: (row) => standing(row, name) };
}

// The datasets that are shown as columns; empty if means are.
function datasets() {
  const chosen = get("columns").value;
  return chosen === "means" ? [] : chosen === "datasets" ? data.tasks : data.groups[chosen];
}

function columns() {
  const source = { name: "data source", word: true, value: (row) => row.kind, cell: (row) => make("td", { className: "word" }, badge(row)) };
  const first = [
    { name: "rank", value: (row) => row.rank?.[0], cell: rankCell },
    { name: "model", word: true, value: (row) => row.label.toLowerCase() },
    ...(isPhone() ? [] : [source]),  // on a phone, the score comes before it
  ];
  const last = isPhone() ? [source] : [];
  const chosen = get("columns").value;
  if (chosen === "means") {
    const facts = FACTS.filter((name) => data.rows.some((row) => known(row.facts[name])));
    const official = { name: "official", value: (row) => row.official, cell: officialCell };
    return [
      ...first,
      ...data.means.map((name) => scoreColumn(name, false)),
      ...(data.rows.some((row) => Math.abs(row.official ?? 0) >= 5e-5) ? [official] : []),
      ...facts.map((name) => ({ name, word: WORDS.has(name), value: (row) => row.facts[name], cell: (row) => factCell(row, name) })),
      ...last,
    ];
  }
  const tasks = datasets();
  const mean = chosen === "datasets" ? data.ranked_by : chosen;
  const means = data.means.includes(mean) && !tasks.includes(mean) ? [scoreColumn(mean, false)] : [];
  return [...first, ...means, ...tasks.map((name) => scoreColumn(name, true)), ...last];
}

function badge(row) {
  return make("span", { className: `kind ${row.kind}`, textContent: row.kind });
}

function rankCell(row) {
  if (!row.rank) return make("td", {}, "–");
  const [rank, best, worst, group] = row.rank;
  const range = best === worst ? "" : make("small", { textContent: ` [${best}–${worst}]` });
  return make("td", { title: `group ${group}` }, String(rank), range);
}

function factCell(row, name) {
  return make("td", { className: WORDS.has(name) ? "word" : "", textContent: amount(name, row.facts[name]) });
}

function officialCell(row) {
  return make("td", { textContent: Math.abs(row.official ?? 0) < 5e-5 ? "" : signed(row.official) });
}

function signOf(row, column) {
  return row.mixed.includes(column.name) ? "‡" : (row.means[column.name]?.sign ?? "");
}

function scoreCell(row, column, spread) {
  const [value, low, high] = figure(row, column.name);
  const mean = row.means[column.name];
  const cell = make("td", { title: mean?.note ?? "" });
  if (!known(value)) {
    cell.append(make("small", { textContent: mean?.note ?? "" }));
    return cell;
  }
  const sign = signOf(row, column);
  const place = spread.best.indexOf(percent(standing(row, column.name)));
  cell.append(make("span", { className: sign === "‡" ? "" : ["best", "second"][place] ?? "", textContent: percent(value) + sign }));
  const ends = get("intervals").checked ? interval(low, high) : "";
  if (ends) cell.append(" ", make("small", { textContent: ends }));
  if (column.heat) {
    cell.classList.add("heat");
    cell.style.setProperty("--share", Math.max(0, 0.6 * (value - spread.low)) / (spread.high - spread.low || 1));
  }
  return cell;
}

// The range of a column without its lowest tenth, which would leave few shades to the others; and its two best values.
function spreadOf(column, rows) {
  const values = rows.filter((row) => signOf(row, column) !== "‡").map((row) => column.value(row)).filter(known);
  const looks = [...new Set(values.sort((a, b) => b - a).map((value) => percent(value)))];
  return { low: values[Math.floor(0.9 * values.length)], high: values[0], best: looks.slice(0, 2) };
}

function passes(row) {
  const words = get("search").value.toLowerCase().split(/\s+/);
  const text = `${row.label} ${row.kind} ${row.facts.source} ${row.where}`.toLowerCase();
  const [from, to] = ["size-from", "size-to"].map((id) => get(id).valueAsNumber * 1e9);
  const size = row.facts.size;
  return (
    words.every((word) => text.includes(word)) &&
    get("kinds").querySelector(`[value="${CSS.escape(row.kind)}"]`).checked &&
    (Number.isNaN(from) || (known(size) && size >= from)) &&
    (Number.isNaN(to) || (known(size) && size <= to)) &&
    (row.rank !== null || !get("ranked").checked)
  );
}

// Sorts rows. Unknown values come last in either direction.
function sorted(rows, column) {
  const sign = order.falling ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (!known(x) || !known(y)) return Number(known(y)) - Number(known(x));
    return x === y ? 0 : sign * (x < y ? -1 : 1);
  });
}

function headCell(column) {
  const button = make("button", { type: "button", textContent: column.name });
  button.addEventListener("click", () => {
    const low = column.word || column.name === "rank";
    order.falling = order.name === column.name ? !order.falling : !low;
    order.name = column.name;
    drawTable();
    [...get("table").tHead.querySelectorAll("button")].find((each) => each.textContent === column.name)?.focus();
  });
  const direction = order.name === column.name ? (order.falling ? "descending" : "ascending") : "none";
  const className = [column.word ? "word" : "", column.name === "model" ? "name" : ""].join(" ");
  return make("th", { scope: "col", className, "aria-sort": direction }, button);
}

function nameCell(row) {
  const button = make("button", { type: "button", textContent: row.label });
  button.addEventListener("click", () => showModel(row));
  return make("th", { scope: "row", className: "name word" }, button);
}

function drawTable() {
  const every = columns();
  const column = every.find((each) => each.name === order.name) ?? every[0];
  if (column === every[0] && order.name !== "rank") Object.assign(order, { name: "rank", falling: false });
  const tasks = datasets();
  const passed = data.rows.filter(passes);
  shown = sorted(passed.filter((row) => !tasks.length || tasks.some((task) => task in row.scores)), column);
  const spreads = new Map(every.filter((each) => each.score).map((each) => [each, spreadOf(each, shown)]));
  let group = null;
  const body = shown.map((row) => {
    const line = make("tr");
    for (const each of every) {
      if (each.name === "model") line.append(nameCell(row));
      else line.append(each.cell ? each.cell(row) : scoreCell(row, each, spreads.get(each)));
    }
    const mine = row.rank?.[3] ?? 0;
    if (order.name === "rank" && group !== null && mine !== group) line.className = "first";
    group = mine;
    return line;
  });
  get("table").tHead.replaceChildren(make("tr", {}, ...every.map(headCell)));
  get("table").tBodies[0].replaceChildren(...body);
  const without = passed.length - shown.length;
  get("count").textContent = `${shown.length} of ${data.rows.length} models` + (without ? `; ${without} without any of these datasets` : "");
}

function showModel(row) {
  const list = make("dl");
  const add = (term, text) => known(text) && text !== "" && list.append(make("dt", { textContent: term }), make("dd", { textContent: text }));
  add("data source", row.kind);
  if (row.rank) {
    const [rank, best, worst, group] = row.rank;
    add("rank", `${rank}${best === worst ? "" : ` (from ${best} to ${worst})`}; group ${group}`);
  }
  for (const name of data.means) {
    const [value, low, high] = figure(row, name);
    const note = row.means[name].note;
    if (known(value)) add(name, [`${percent(value)} ${interval(low, high)}`.trim(), note].filter(Boolean).join("; "));
  }
  for (const name of FACTS) add(name, amount(name, row.facts[name]));
  add("reference", row.where);
  add("missing", row.missing.join(", "));
  for (const note of row.notes) add("note", note);
  get("model-head").textContent = row.label;
  get("model-body").replaceChildren(list);
  get("model").showModal();
}

function startTable() {
  if (isPhone()) get("intervals").checked = get("intervals").defaultChecked = false;
  const groups = Object.keys(data.groups).filter((name) => data.groups[name].length);
  const few = data.tasks.length ? [["datasets", `all ${data.tasks.length} datasets`]] : [];
  choices(get("columns"), [["means", "means and facts"], ...few, ...groups.map((name) => [name, `datasets of ${name}`])]);
  for (const kind of new Set(data.rows.map((row) => row.kind))) {
    get("kinds").append(make("label", {}, make("input", { type: "checkbox", value: kind, checked: true, defaultChecked: true }), kind));
  }
  get("legend").textContent =
    `Ranked by ${data.ranked_by}. Brackets beside a rank: the ranks that the tests allow. Strong lines separate groups: ` +
    "no model of a group differs significantly from its best. Best bold, second underlined. Datasets are shaded by score.";
}
