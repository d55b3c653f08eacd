// Single queries: their content, the answer of each model and the right one. What is chosen lies in the address.
const FILTERS = {
  all: ["all", () => true],
  wrong: ["wrong or partly right", (mine) => isWrong(mine)],
  missed: ["wrong for all models", (mine, other, query) => query.answers.every(isWrong)],
  right: ["right", (mine) => mine.state === "right"],
  tied: ["tied", (mine) => mine.state === "tied"],
  gained: ["gained over the other model", (mine, other) => other && certain(mine, other) && mine.score > other.score],
  lost: ["lost to the other model", (mine, other) => other && certain(mine, other) && mine.score < other.score],
};
const VERDICTS = new Map([
  ["right", "✓ right"], ["tied", "≈ tied"], ["part", "◐ partly right"], ["wrong", "✗ wrong"], ["none", "– not ranked"],
]);
const isWrong = (answer) => answer.score < 1 && answer.state !== "tied";
const certain = (...answers) => answers.every((answer) => answer.state !== "tied");
const NOBODY = "none";
const MORE = 200;  // queries that are shown at once
let listed = "";  // what the list was made from
let found = [];  // the queries that pass the filter, of which the list has the first ones

// The chosen dataset, models (indexes of rows; -1: none), filter and words. The address has what is not as at the start.
function chosenQueries() {
  const task = data.viewer.tasks.find((each) => each.name === state.get("query-task")) ?? data.viewer.tasks[0];
  const named = (key, otherwise) => {
    const label = state.get(key);
    return label === NOBODY ? -1 : task.models.find((index) => data.rows[index].label === label) ?? otherwise;
  };
  return {
    task,
    model: named("query-model", task.models[0]),
    against: named("query-against", task.models[1] ?? -1),
    filter: Object.hasOwn(FILTERS, state.get("query-show") ?? "") ? state.get("query-show") : "all",
    words: (state.get("query-search") ?? "").toLowerCase().split(/\s+/).filter(Boolean),
  };
}

const mediaOf = (content) => content.media.map((index) => data.viewer.media[index]);

function leadOf(content, task) {
  return content.lead < 0 ? "" : task.leads[content.lead];
}

const nameOf = (medium) => make("span", { className: "file", textContent: `${medium.name} (no picture)` });

// The pictures of a medium as a button that enlarges them. `what` says what the picture is of.
function pictureOf(medium, what, few) {
  if (!medium.src.length) return nameOf(medium);
  const kind = medium.video ? "video" : "picture";
  const frames = medium.src.map((src, index) => make("img", {
    src, loading: "lazy", decoding: "async",
    alt: `${what}: ${kind} ${clipped(medium.name, 80)}${medium.src.length > 1 ? `, frame ${index + 1} of ${medium.src.length}` : ""}`,
  }));
  const button = make("button", { type: "button", className: `picture ${kind}`, title: "Enlarge" }, ...(few ? frames.slice(0, 1) : frames));
  for (const frame of frames) frame.addEventListener("error", () => (frames.length > 1 ? frame.remove() : button.replaceWith(nameOf(medium))));
  button.addEventListener("click", () => enlarge(medium, what, button));
  return button;
}

function picturesOf(content, what, few = false) {
  return content.media.length
    ? make("span", { className: "pictures" }, ...mediaOf(content).map((medium) => pictureOf(medium, what, few)))
    : null;
}

function enlarge(medium, what, opener) {
  get("picture-head").textContent = `${what}: ${medium.name}`;
  const large = medium.large ?? medium.src;
  get("picture-body").replaceChildren(...large.map((src, index) =>
    make("img", { src, alt: large.length > 1 ? `Frame ${index + 1} of ${large.length}` : `${what}: ${medium.name}` })));
  for (const image of get("picture-body").children) {
    image.decode().then(() => image.classList.toggle("small", image.naturalWidth < 160)).catch(() => {});
  }
  get("picture").onclose = () => opener.focus();
  get("picture").showModal();
}

function verdictText(answer) {
  return VERDICTS.get(answer.state) + (answer.said ? `${answer.state === "tied" ? " " : ", "}${answer.said}` : "");
}

function verdictOf(answer) {
  return make("strong", { className: `verdict ${answer.state}`, textContent: verdictText(answer) });
}

// A part of a closed query: a picture and the beginning of the text.
function cellOf(head, content, what, task) {
  const words = content && (content.text || (content.media.length ? "" : leadOf(content, task)));
  return make("div", { className: "cell" }, make("span", { className: "head", textContent: head }),
    content ? picturesOf(content, what, true) : make("span", { className: "file", textContent: "no answer" }),
    words ? make("span", { className: "words", textContent: clipped(words, 200) }) : null);
}

function fullOf(head, content, what, task) {
  const [words, lead] = [content.text, leadOf(content, task)];
  return make("div", {}, head ? make("h3", { textContent: head }) : null, picturesOf(content, what),
    words ? make("p", { className: "text", textContent: words }) : null,
    lead ? make("details", {}, make("summary", { textContent: "Instruction" }), make("p", { className: "text", textContent: lead })) : null);
}

function candidateOf(found, task, label) {
  const content = task.targets[found.target];
  const words = content.text || (content.media.length ? "" : leadOf(content, task));
  return make("li", { className: found.right ? "right" : "" },
    make("span", { className: "place" }, `${found.rank.toLocaleString("en")}.`),
    make("span", { className: "similar", title: "similarity" }, found.score),
    make("div", {}, found.right ? make("strong", { className: "verdict right", textContent: "✓ right answer" }) : null,
      picturesOf(content, `Candidate of ${label}, rank ${found.rank}`), words ? make("p", { className: "text", textContent: words }) : null));
}

function answerOf(answer, task, label) {
  return make("div", {}, make("h3", {}, `${label}: `, verdictOf(answer)),
    make("ol", { className: "top" }, ...answer.top.map((found) => candidateOf(found, task, label))));
}

function openedQuery(query, models, task) {
  const rights = query.right.slice(0, 5).map((target, index) => fullOf(index ? "" : "Right answer", task.targets[target], "Right answer", task));
  const more = query.right.length > 5 ? make("p", { className: "hint", textContent: `and ${query.right.length - 5} more right answers` }) : null;
  return [make("div", { className: "asked" }, fullOf("Query", query.content, `Query ${query.id}`, task), make("div", {}, ...rights, more)),
    make("div", { className: "answers" },
      ...models.map((model) => answerOf(query.answers[task.models.indexOf(model)], task, data.rows[model].label)))];
}

function queryItem(query, number, models, task) {
  const answers = models.map((model) => query.answers[task.models.indexOf(model)]);
  const button = make("button", { type: "button", className: "turn", "aria-expanded": "false", "aria-controls": `query-${number}` },
    verdictOf(answers[0]), make("span", { className: "id", textContent: `query ${clipped(query.id, 40)}` }));
  const given = answers.map((answer, at) => {
    const label = data.rows[models[at]].label;
    const head = models.length > 1 ? `${at ? "B" : "A"}: ${VERDICTS.get(answer.state)}` : "Answer";
    return cellOf(head, answer.state !== "none" && answer.top.length ? task.targets[answer.top[0].target] : null, `Answer of ${label}`, task);
  });
  const row = make("div", { className: "row" }, button, cellOf("Query", query.content, `Query ${query.id}`, task), ...given,
    query.right.length ? cellOf("Right answer", task.targets[query.right[0]], "Right answer", task) : null);
  const open = make("div", { className: "open", id: `query-${number}`, hidden: true });
  row.addEventListener("click", (event) => {
    if (!event.target.closest("button.picture") && !String(getSelection())) turnQuery(query.id);
  });
  const item = make("li", { className: "query", id: `item-${number}` }, row, open);
  return Object.assign(item, { query, fill: () => open.replaceChildren(...openedQuery(query, models, task)) });
}

// Opens a query, or closes it if it is open.
function turnQuery(id) {
  state.set("query", state.get("query") === id ? null : id);
  showOpen();
}

// Opens the query of the address, and closes all others. Content is made when it is first opened.
function showOpen() {
  for (const item of get("query-list").children) {
    const [row, open] = item.children;
    const isOpen = item.query.id === state.get("query");
    if (isOpen && !open.children.length) item.fill();
    row.querySelector(".turn").setAttribute("aria-expanded", String(isOpen));
    open.hidden = !isOpen;
  }
}

// Opens the query after or before the open one. Where none is open, it is the one with the focus, or the first.
function stepQuery(by) {
  showMore(get("query-list").children.length + 1);
  const items = [...get("query-list").children];
  const open = items.findIndex((item) => item.query.id === state.get("query"));
  const here = Math.max(0, items.findIndex((item) => item.contains(document.activeElement)));
  const item = items[open < 0 ? here : Math.min(Math.max(open + by, 0), items.length - 1)];
  if (!item) return;
  state.set("query", item.query.id, { typed: true });
  showOpen();
  item.querySelector(".turn").focus({ preventScroll: true });
  item.scrollIntoView({ block: "start" });
}

function matches(query, words, task) {
  const found = [query.content, ...query.right.map((target) => task.targets[target])];
  const text = [query.id, ...found.flatMap((each) => [each.text, ...mediaOf(each).map((medium) => medium.name)])].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

// Fetches the queries of a dataset from the server, if they are not in this page.
async function fetchQueries(task) {
  get("query-count").textContent = "Loading …";
  const answer = await fetch(task.address);
  if (!answer.ok) throw new Error(`${answer.status}`);
  const { media, ...view } = await answer.json();
  const start = data.viewer.media.length;  // its media get the next numbers
  for (const { content } of view.queries) content.media = content.media.map((index) => start + index);
  for (const content of view.targets) content.media = content.media.map((index) => start + index);
  data.viewer.media.push(...media);
  Object.assign(task, view);
}

// Adds queries to the list, up to `least` or a few more.
function showMore(least) {
  const { task, model, against } = chosenQueries();
  const both = against >= 0 && against !== model ? [model, against] : [model];
  const there = get("query-list").children.length;
  const end = Math.min(found.length, MORE * Math.ceil(least / MORE));
  get("query-list").append(...found.slice(there, end).map((query, index) => queryItem(query, there + index, both, task)));
  get("query-more").hidden = end >= found.length;
  get("query-more").textContent = `Show ${Math.min(MORE, found.length - end)} more`;
}

async function drawQueries() {
  const { task } = chosenQueries();
  try {
    if (!task.queries) await fetchQueries(task);
  } catch {  // the results changed since; the page follows them
    get("query-count").textContent = `The queries of ${task.name} could not be loaded.`;
    return;
  }
  if (chosenQueries().task === task) drawLoaded();
}

function drawLoaded() {
  const { task, model, against, filter, words } = chosenQueries();
  const made = JSON.stringify([task.name, model, against, filter, words]);
  if (made !== listed) {
    const answer = (query, index) => query.answers[task.models.indexOf(index)];
    found = task.queries.filter((query) => FILTERS[filter][1](answer(query, model), answer(query, against), query) && matches(query, words, task));
    get("query-list").replaceChildren();
    showMore(1);
    get("query-count").textContent = task.queries.length === task.of ? `${found.length.toLocaleString("en")} of ${task.of.toLocaleString("en")} queries.`
      : `${found.length} of the ${task.queries.length} queries in this page; the dataset has ${task.of.toLocaleString("en")}.`;
    get("query-sides").textContent = against >= 0 && against !== model ? `A: ${data.rows[model].label}. B: ${data.rows[against].label}. The verdict is on A.` : "";
    showFields(task, model, against, filter);
    listed = made;
  }
  drawSimilarity(task.similarity[task.models.indexOf(model)]);
  showMore(1 + found.findIndex((query) => query.id === state.get("query")));
  showOpen();
}

function showFields(task, model, against, filter) {
  const models = task.models.map((index) => [data.rows[index].label, data.rows[index].label]);
  choices(get("query-task"), data.viewer.tasks.map(({ name }) => [name, name]), task.name);
  choices(get("query-model"), models, data.rows[model].label);
  choices(get("query-against"), [[NOBODY, NOBODY], ...models], against < 0 ? NOBODY : data.rows[against].label);
  choices(get("query-show"), Object.entries(FILTERS).map(([value, [text]]) => [value, text]), filter);
  if (document.activeElement !== get("query-search")) get("query-search").value = state.get("query-search") ?? "";
}

function queryKeys(event) {
  if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape" && state.get("query")) turnQuery(state.get("query"));
  else if (event.key === "j" || event.key === "k") stepQuery(event.key === "j" ? 1 : -1);
  else return;
  event.preventDefault();
}

async function startQueries() {
  get("queries").hidden = get("to-queries").hidden = !data.viewer;
  if (!data.viewer) return;
  get("query-notes").append(...data.viewer.notes.map((textContent) => make("li", { textContent })));
  for (const key of ["query-task", "query-model", "query-against", "query-show"]) {
    get(key).addEventListener("change", () => {
      if (key === "query-task") state.set("query", null, { typed: true });  // ids belong to a dataset
      state.set(key, get(key).value);
      drawQueries();
    });
  }
  get("query-search").addEventListener("input", () => { state.set("query-search", get("query-search").value, { typed: true }); drawQueries(); });
  get("query-more").addEventListener("click", () => showMore(get("query-list").children.length + 1));
  get("queries").addEventListener("keydown", queryKeys);
  get("picture").addEventListener("click", (event) => event.target === get("picture") && get("picture").close());
  state.follow(drawQueries);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawQueries);
  await drawQueries();
  if (state.get("query")) [...get("query-list").children].find((item) => item.query.id === state.get("query"))?.scrollIntoView();
}
