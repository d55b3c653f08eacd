// Analyses: each is a part of the page with its sentences, a plot and tables. Their text may come from files.
const PARTS = new Map([["curves", "Curves"], ["agree", "Agreement"], ["contamination", "Contamination"], ["sensitivity", "Sensitivity"], ["power", "Power"], ["seeds", "Seeds"]]);
const LOOKS = 4;  // of lines, as in page.css
const linePlots = [];

// The queries of a row that can be opened: those of a dataset that are in this page, or on its server.
function openable(dataset, id) {
  const task = data.viewer?.tasks.find(({ name }) => name === dataset);
  return Boolean(task) && (Boolean(task.address) || task.queries.some((query) => query.id === id));
}

function openQuery(dataset, id) {
  for (const [key, value] of [["query-task", dataset], ["query-show", null], ["query-search", null], ["query", id], ["at", "queries"]]) state.set(key, value);
  drawQueries().then(() => document.querySelector('#query-list .turn[aria-expanded="true"]')?.focus());
}

function analysisCell([text, extra, style], isWord, open) {
  const words = open ? make("button", { type: "button", className: "link", textContent: text }) : make("span", { className: style === "best" ? "best" : "", textContent: text });
  if (open) words.addEventListener("click", open);
  return make("td", { className: isWord ? "word" : "" }, words, extra ? make("small", { textContent: ` ${extra}` }) : null);
}

function analysisTable(table, name) {
  const [dataset, query] = ["dataset", "query"].map((column) => table.columns.indexOf(column));
  const isWord = table.columns.map((column) => table.words.includes(column));
  const rows = table.rows.map((cells) => {
    const place = dataset >= 0 && query >= 0 ? [cells[dataset][0], cells[query][0]] : null;
    const open = place && openable(...place) ? () => openQuery(...place) : null;
    return make("tr", {}, ...cells.map((cell, index) => analysisCell(cell, isWord[index], index === query ? open : null)));
  });
  const csv = () => [table.columns, ...table.rows.map((cells) => cells.map(([text, extra]) => `${text} ${extra}`.trim()))]
    .map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
  const button = make("button", { type: "button", textContent: "CSV", "aria-label": `Save as CSV: ${table.title}` });
  button.addEventListener("click", () => save(`${name}.csv`, csv(), "text/csv"));
  return make("div", { className: "analysis" }, make("h3", { textContent: table.title }),
    make("div", { className: "scroll", role: "region", tabIndex: 0, "aria-label": table.title }, make("table", {},
      make("thead", {}, make("tr", {}, ...table.columns.map((text, index) => make("th", { scope: "col", className: isWord[index] ? "word" : "" }, make("span", { textContent: text }))))),
      make("tbody", {}, ...rows))),
    make("p", { className: "actions" }, button),
    make("ul", { className: "hint" }, ...table.notes.map((textContent) => make("li", { textContent }))));
}

// Lines belong together if their names differ only behind the last comma, as those of the formats of one model do.
function linesBy(lines) {
  const groups = new Map();
  for (const line of lines) {
    const at = line.name.lastIndexOf(", ");
    const group = at < 0 ? line.name : line.name.slice(0, at);
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push({ name: line.name.slice(at < 0 ? 0 : at + 2), points: line.points });
  }
  return groups;
}

function lineLegend(lines) {
  let at = EDGE.left;
  return lines.flatMap(({ name }, index) => {
    const label = drawn("text", { class: "tick", x: at + 26, y: 17 });
    label.textContent = clipped(name, 40);
    const mark = drawn("path", { class: `line s${index % LOOKS}`, d: `M${at} 13H${at + 20}` });
    at += 42 + textWidth(label.textContent);
    return [mark, label];
  });
}

function lineOfPlot({ name, points: all }, x, y, look, what) {
  const at = (value) => y.scale(100 * value).toFixed(1);
  const path = all.map(([bytes, score], index) => `${index ? "L" : "M"}${x.scale(bytes).toFixed(1)} ${at(score)}`).join("");
  const band = [...all.map(([bytes, , low]) => [bytes, low]), ...all.toReversed().map(([bytes, , , high]) => [bytes, high])];
  return [
    drawn("path", { class: `band s${look}`, d: `${band.map(([bytes, end], index) => `${index ? "L" : "M"}${x.scale(bytes).toFixed(1)} ${at(end)}`).join("")}Z` }),
    drawn("path", { class: `line s${look}`, d: path }),
    ...all.map(([bytes, score, low, high]) => drawn("circle", { class: `point s${look}`, cx: x.scale(bytes), cy: y.scale(100 * score), r: 3.5,
      "data-help": `${name}, ${what} ${bytes.toLocaleString("en")}: ${percent(score)} [${percent(low)}, ${percent(high)}]` })),
  ];
}

function linePlot(lines, name, { across, up, doubles }) {
  const groups = linesBy(lines);
  const select = make("select", {});
  choices(select, [...groups.keys()].map((group) => [group, group]));
  const drawing = drawn("svg", { role: "img" });
  const draw = () => {
    const chosen = groups.get(select.value).map((line) => ({ ...line, points: line.points.filter(([x]) => x > 0 || !doubles) })).filter((line) => line.points.length);
    const flat = chosen.flatMap((line) => line.points);
    if (!flat.length) return;
    const size = { width: Math.max(280, drawing.parentElement.clientWidth), height: isPhone() ? 320 : 380 };
    const x = scaleOf(flat.map(([bytes]) => bytes), EDGE.left, size.width - EDGE.right, doubles, isPhone() ? 5 : 8);
    const y = scaleOf(flat.flatMap(([, ...ends]) => ends.map((end) => 100 * end)), size.height - EDGE.bottom, EDGE.top, false, 8);
    drawing.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    drawing.style.height = `${size.height}px`;
    drawing.setAttribute("aria-label", `Score by ${across}: ${select.value}.`);
    drawing.replaceChildren(...axes(x, y, size, doubles ? `${across} (log scale)` : across, { head: "score" }), ...lineLegend(chosen),
      ...chosen.flatMap((line, index) => lineOfPlot(line, x, y, index % LOOKS, across)));
  };
  select.addEventListener("change", draw);
  linePlots.push(draw);
  const button = make("button", { type: "button", textContent: "SVG", "aria-label": "Save the plot as SVG" });
  button.addEventListener("click", () => saveSvg(drawing, name));
  return make("figure", {}, make("div", { className: "controls" }, make("label", {}, "Lines ", select)),
    make("div", { className: "plot free" }, drawing), make("p", { className: "actions" }, button),
    make("figcaption", { textContent: up }));
}

const drawLines = () => linePlots.forEach((draw) => draw());

function startAnalyses() {
  data.analyses.forEach(({ analysis, origin, sentences, tables, plot, axes: shown }, index) => {
    const id = `analysis-${index}`;
    const title = PARTS.get(analysis) ?? analysis;
    get("to-notes").before(make("a", { href: `#${id}`, textContent: title }));
    get("notes").before(make("section", { id, "aria-labelledby": `${id}-head` },
      make("h2", { id: `${id}-head`, tabIndex: -1, textContent: title }),
      ...sentences.map((textContent) => make("p", { textContent })),
      plot.length ? linePlot(plot, `${analysis}-plot`, shown) : null,
      ...tables.map((table) => analysisTable(table, analysis)),
      origin ? make("p", { className: "hint", textContent: `From the file ${origin}.` }) : null));
  });
}
