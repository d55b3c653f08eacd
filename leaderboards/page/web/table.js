// The board. The rows of a view are made once and kept; filters and order only move them. `shown` has the visible rows
// in order. A view is a choice of columns.
const STEPS = 20;  // shades of the heat map, as in page.css
const AT_ONCE = 60;  // rows that are filled before the next frame; the others follow when there is time
const SOURCE = { name: "data source", head: "data source", kind: "source", text: true, help: "Who reports the scores: measured here, published by others, self-reported by the authors, or imported from a file." };
const MODEL = { name: "model", head: "model", kind: "model", text: true, help: "The name opens all that is known about a model. The number beside it opens its other rows." };
const views = new Map();
const unfolded = new Set();
let view = null;
let order = { name: "rank", falling: false };
let shown = [];
let later = 0;

function viewColumns(chosen) {
  const first = [named("rank", "rank"), MODEL, ...(isPhone() ? [] : [SOURCE])];
  const last = isPhone() ? [SOURCE] : [];
  const group = data.views.find((each) => each.name === chosen);
  if (!group) return [...first, ...columnsOf("mean"), ...columnsOf("fact"), ...last];
  const mean = named(group.name, "mean") ?? named(data.ranked_by, "mean");
  return [...first, mean, ...group.columns.map((name) => named(name, "dataset")), ...last].filter(Boolean);
}

const rowValue = new Map([["model", (row) => data.rows[row].label.toLowerCase()], ["source", (row) => data.rows[row].kind]]);
const valueOf = (column, row) => (rowValue.has(column.kind) ? rowValue.get(column.kind)(row) : column.values[row]);

function rangeOf(column) {
  column.range ??= column.ends.reduce(([low, high], ends) => (ends ? [Math.min(low, ends[0]), Math.max(high, ends[1])] : [low, high]), [1, 0]);
  return column.range;
}

// A row without content, which is copied for each row: cells with a figure and its interval.
function blankLine(columns) {
  const cell = (column) => make("td", { role: "cell", className: column.text ? "word" : "" },
    document.createTextNode(" "), column.extras.some(Boolean) ? make("small", { textContent: " " }) : null);
  return make("tr", { role: "row" }, ...columns.map((column) =>
    (column === MODEL || column === SOURCE ? make("td") : cell(column))));
}

// Fills a cell with a figure. There are thousands, so it takes the short way.
function fillCell(cell, column, row) {
  const [text, extra, style] = [column.texts[row], column.extras[row], column.styles[row]];
  cell.firstChild.data = text;
  if (style) cell.firstChild.replaceWith(make("span", { className: style, textContent: text }));
  if (extra) cell.lastChild.firstChild.data = ` ${extra}`;
  else if (cell.childNodes.length > 1) cell.lastChild.remove();
  if (column.notes[row]) cell.dataset.help = column.notes[row];
  const look = lookOf(column, row);
  if (look) cell.className = look;
  if (look === "whisker") {
    const [low, high] = rangeOf(column);
    const [from, to, at] = [...column.ends[row], column.values[row]].map((end) => (100 * (end - low)) / (high - low || 1));
    cell.style.cssText = `--low:${from}%;--wide:${to - from}%;--at:${at}%`;
  }
}

// The class of a cell: the shade of a dataset from chance to 100 %, or the whisker of a mean.
function lookOf(column, row) {
  const value = column.values[row];
  if (column.kind === "mean") return column.ends[row] ? "whisker" : "";
  if (column.kind !== "dataset" || !known(value)) return "";
  const share = Math.max(0, value - column.chance) / (1 - column.chance || 1);
  return `heat h${Math.round(STEPS * Math.min(1, share))}`;
}

function nameCell(row) {
  const { label } = data.rows[row];
  const size = named("size", "fact")?.texts[row];
  const folded = foldedBelow(row);
  const fold = folded && make("button", {
    type: "button", className: "fold", "data-fold": row, "aria-expanded": String(unfolded.has(row)),
    "aria-label": `${folded} more row${folded > 1 ? "s" : ""} of ${label}`, textContent: `+${folded}` });
  return make("th", { scope: "row", role: "rowheader", className: "name word" },
    make("button", { type: "button", "data-open": row, textContent: label }),
    size ? make("small", { className: "size", textContent: ` ${size}` }) : null, fold || null);
}

function sourceCell(row) {
  const { kind } = data.rows[row];
  return make("td", { role: "cell", className: "word" }, make("span", { className: `kind ${kind}`, textContent: kind }));
}

// The row of the view, without text as long as it is not filled.
function lineOf(row) {
  if (!view.lines[row]) {
    view.blank ??= blankLine(view.columns);
    view.lines[row] = view.blank.cloneNode(true);
    view.lines[row].dataset.row = row;
    view.lines[row].className = data.rows[row].kind;
  }
  return view.lines[row];
}

function fill(row) {
  if (view.filled.has(row)) return;
  view.filled.add(row);
  let cell = lineOf(row).firstChild;
  for (const column of view.columns) {
    const next = cell.nextSibling;
    if (column === MODEL) cell.replaceWith(nameCell(row));
    else if (column === SOURCE) cell.replaceWith(sourceCell(row));
    else fillCell(cell, column, row);
    cell = next;
  }
}

// Fills the rows that are shown: the first ones now, the others bit by bit, or all of them for a printer.
function fillShown(most = AT_ONCE) {
  clearTimeout(later);
  const waiting = shown.filter((row) => !view.filled.has(row));
  waiting.slice(0, most).forEach(fill);
  if (waiting.length > most) later = setTimeout(() => fillShown());
}

// The widths of the columns in characters, so that the browser need not look at every cell.
function widths() {
  const bare = !get("intervals").checked;
  const longest = (texts) => texts.reduce((most, text) => Math.max(most, text.length), 0);
  return view.columns.map((column) => {
    if (column === MODEL) return isPhone() ? "9.5rem" : "19rem";
    const word = longest(column.head.split(/[\s_-]+/)) + 3;
    if (column === SOURCE) return `${Math.max(word, 14) + 2}ch`;
    const text = longest(column.texts);
    const extra = longest(column.extras);
    const small = bare && column.kind !== "rank" ? 0 : extra && (isPhone() ? Math.max(0, 0.72 * extra - text) : 1 + 0.72 * extra);
    return `${Math.max(word, Math.min(text, 34) + small + (column.text ? 3 : 2.4))}ch`;
  }).join(" ");
}

function headCell(column) {
  const className = [column.text ? "word" : "", column === MODEL ? "name" : ""].join(" ").trim();
  return make("th", { scope: "col", role: "columnheader", className }, make("button", { type: "button", "data-sort": column.name, "data-help": column.help, textContent: column.head }));
}

// Changes the columns, if others are chosen.
function drawHead() {
  const chosen = `${get("columns").value} ${isPhone()}`;
  if (view?.chosen !== chosen) {
    if (!views.has(chosen)) views.set(chosen, { chosen, columns: viewColumns(get("columns").value), lines: [], filled: new Set() });
    view = views.get(chosen);
    get("table").tHead.replaceChildren(make("tr", { role: "row" }, ...view.columns.map(headCell)));
  }
  get("table").classList.toggle("bare", !get("intervals").checked);
  get("table").classList.toggle("datasets", view.columns.some((column) => column.kind === "dataset"));
  get("table").style.setProperty("--columns", widths());
  const text = state.get("sort") ?? "rank";
  order = { name: text.replace(/^-/, ""), falling: text.startsWith("-") };
  if (!view.columns.some((each) => each.name === order.name)) order = { name: "rank", falling: false };
  view.columns.forEach((column, index) => {
    const direction = order.name === column.name ? (order.falling ? "descending" : "ascending") : "none";
    get("table").tHead.rows[0].cells[index].setAttribute("aria-sort", direction);
  });
}

function drawTable() {
  drawHead();
  const { models, rows, without } = selected();
  shown = rows;
  get("table").tBodies[0].replaceChildren(...shown.map(lineOf));
  markGroups(models);
  fillShown();
  const total = data.models.length;
  const count = (some, every, what) => `${some === every ? some : `${some} of ${every}`} ${what}${every === 1 ? "" : "s"}`;
  const more = without ? `; ${without} without any of these datasets` : "";
  get("count").textContent = `${count(models.length, total, "model")}, ${count(models.reduce((sum, each) => sum + each.length, 0), data.rows.length, "row")}${more}`;
}

// Strong lines between groups, where the order is that of the ranks.
function markGroups(models) {
  let group = null;
  const ranks = order.name === "rank" && !order.falling;
  for (const [head, ...others] of models) {
    const mine = data.rows[head].group;
    lineOf(head).classList.toggle("first", ranks && group !== null && mine !== group);
    others.forEach((row) => lineOf(row).classList.remove("first"));
    group = mine;
  }
}

function sortBy(name) {
  const column = view.columns.find((each) => each.name === name);
  const rising = column.text || column.kind === "rank";
  const falling = order.name === name ? !order.falling : !rising;
  state.set("sort", name === "rank" && !falling ? null : `${falling ? "-" : ""}${name}`);
  drawTable();
}

function startTable() {
  get("table").tHead.addEventListener("click", ({ target }) => target.dataset.sort !== undefined && sortBy(target.dataset.sort));
  get("table").tBodies[0].addEventListener("click", ({ target }) => {
    if (target.dataset.open) showModel(Number(target.dataset.open));
    if (target.dataset.fold) toggleFold(Number(target.dataset.fold));
  });
  addEventListener("beforeprint", () => fillShown(Infinity));
  get("legend").textContent =
    `Ranked by ${data.ranked_by}. Brackets beside a rank: the ranks that the tests allow. Strong lines separate groups: ` +
    "no model of a group differs significantly from its best. The line under a mean is its " +
    `95 % CI, on a scale of its column. Datasets are shaded from chance to 100 %. ${data.rule} Ranks count all rows.`;
}
