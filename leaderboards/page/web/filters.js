// Which rows are shown, and in which order.
const modelOf = new Map(data.models.flatMap((rows, index) => rows.map((row) => [row, index])));
const sizeColumn = named("size", "fact");
const sourceColumn = named("source", "fact");
const searched = data.rows.map((row, index) => `${row.label} ${row.kind} ${sourceColumn?.texts[index] ?? ""} ${row.where}`.toLowerCase());
const heads = new Map();  // the first visible row of a model, and the number of those below it

function passing() {
  const words = get("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [from, to] = ["size-from", "size-to"].map((id) => get(id).valueAsNumber * 1e9);
  const kinds = new Set([...get("kinds").querySelectorAll("input:checked")].map((each) => each.value));
  const ranked = get("ranked").checked;
  return (row) => {
    const size = sizeColumn?.values[row];
    return kinds.has(data.rows[row].kind) && words.every((word) => searched[row].includes(word)) &&
      (Number.isNaN(from) || (known(size) && size >= from)) && (Number.isNaN(to) || (known(size) && size <= to)) &&
      (!ranked || known(data.rows[row].group));
  };
}

// The models that are shown, each as its rows that pass the filters; and all visible rows.
function selected() {
  const passes = passing();
  const every = data.models.map((rows) => rows.filter(passes)).filter((rows) => rows.length);
  const datasets = view.columns.filter((each) => each.kind === "dataset");
  const scored = (row) => !datasets.length || datasets.some((column) => known(column.values[row]));
  const some = every.map((rows) => rows.filter(scored)).filter((rows) => rows.length);
  const models = sorted(some);
  heads.clear();
  for (const [head, ...others] of models) heads.set(head, others.length);
  for (const [head] of models) refreshFold(head);
  const rows = models.flatMap((each) => {
    each.forEach((row, place) => lineOf(row).classList.toggle("below", place > 0));
    return unfolded.has(each[0]) ? each : each.slice(0, 1);
  });
  return { models, rows, without: every.length - some.length };
}

// Models by a column of their first rows. Unknown values come last in either direction.
function sorted(models) {
  const column = view.columns.find((each) => each.name === order.name);
  const sign = order.falling ? -1 : 1;
  return models.toSorted(([a], [b]) => {
    const [x, y] = [valueOf(column, a), valueOf(column, b)];
    if (!known(x) || !known(y)) return Number(known(y)) - Number(known(x));
    return x === y ? a - b : sign * (x < y ? -1 : 1);
  });
}

const foldedBelow = (row) => heads.get(row) ?? 0;

// Makes the name anew where the rows below it have changed.
function refreshFold(row) {
  const made = lineOf(row).querySelector(".name");
  const button = made?.querySelector(".fold");
  const [text, open] = [foldedBelow(row) ? `+${foldedBelow(row)}` : "", String(unfolded.has(row))];
  if (made && ((button?.textContent ?? "") !== text || (button && button.ariaExpanded !== open))) made.replaceWith(nameCell(row));
}

function toggleFold(row) {
  if (!unfolded.delete(row)) unfolded.add(row);
  draw();
  lineOf(row).querySelector(".fold").focus();
}

function showModel(row) {
  const { label, kind, group, where, links, missing, notes } = data.rows[row];
  const list = make("dl");
  const add = (term, ...parts) => parts.some((part) => known(part) && part !== "") && list.append(make("dt", { textContent: term }), make("dd", {}, ...parts));
  const text = (column) => [`${column.texts[row]} ${column.extras[row]}`.trim(), column.notes[row]].filter(Boolean).join("; ");
  add("data source", kind);
  if (known(group)) add("rank", text(named("rank", "rank")));
  for (const column of [...columnsOf("mean"), ...columnsOf("fact")]) if (column.texts[row]) add(column.head, text(column));
  add("reference", where);
  const safe = links.filter(({ address }) => address.startsWith("https://"));
  add("links", ...safe.flatMap(({ what, address }) => [make("a", { href: address, rel: "noreferrer", textContent: what }), " "]));
  add("missing", missing.join(", "));
  for (const note of notes) add("note", note);
  get("model-head").textContent = label;
  get("model-body").replaceChildren(list);
  get("model").showModal();
}

function startFilters() {
  if (isPhone()) get("intervals").checked = get("intervals").defaultChecked = false;
  choices(get("columns"), [["means", "means and facts"], ...data.views.map((each) => [each.name, each.text])]);
  for (const kind of new Set(data.rows.map((row) => row.kind))) {
    const box = make("input", { type: "checkbox", value: kind, checked: true, defaultChecked: true });
    get("kinds").append(make("label", {}, box, kind));
    state.bind(`kind ${kind}`, box);
  }
  for (const id of ["search", "columns", "size-from", "size-to", "ranked", "intervals"]) state.bind(id, get(id));
  for (const event of ["input", "change"]) get("filters").addEventListener(event, draw);  // drivers send one of them, browsers both
  get("filters").addEventListener("submit", (event) => event.preventDefault());
  get("filters").addEventListener("reset", () => setTimeout(() => {  // after the fields are reset
    state.record();
    draw();
  }));
}
