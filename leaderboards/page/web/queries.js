// Single queries: their content, their positives, and the top candidates of each model.
const task = () => data.viewer.tasks[get("query-task").value];
const side = (id) => Number(get(id).value);

const FILTERS = {
  all: ["all", () => true],
  wrong: ["wrong or partly right", (mine) => mine.score < 1],
  right: ["right", (mine) => mine.score === 1],
  gained: ["gained over the other model", (mine, other) => other && mine.score > other.score],
  lost: ["lost to the other model", (mine, other) => other && mine.score < other.score],
};

function pictures(names) {
  const made = names.map((name) => {
    const found = data.viewer.media[name];
    if (!found) return make("span", { className: "file", textContent: name });
    return make("span", {}, ...found.map((src, index) =>
      make("img", { src, alt: found.length > 1 ? `${name}, frame ${index + 1} of ${found.length}` : name })));
  });
  return make("div", { className: "pictures" }, ...made);
}

// Media and text. Several media are numbered at their places in the text.
function contentOf(content, head = null) {
  let number = 0;
  const words = content.text.replaceAll("<|media|>", () => (content.media.length > 1 ? `[${++number}]` : "")).trim();
  return make("div", {}, head && make("h4", { textContent: head }), content.media.length ? pictures(content.media) : null,
    words ? make("p", { className: "text", textContent: words }) : null);
}

function verdictOf(answer) {
  if (answer.score === 1) return make("strong", { className: "good", textContent: "✓ right" });
  const rank = answer.ranks.length ? `rank ${Math.min(...answer.ranks)}` : "not ranked";
  const part = answer.score > 0 ? `◐ partly right (${answer.score.toFixed(2)})` : "✗ wrong";
  return make("strong", { className: "bad", textContent: `${part}, ${rank}` });
}

function answerOf(model, answer) {
  const { targets } = task();
  const list = answer.top.map(([target, score, right]) =>
    make("li", { className: right ? "right" : "" },
      make("span", {}, score.toFixed(3), right ? make("span", { className: "good", textContent: " ✓", title: "right" }) : null,
        right ? make("span", { className: "unseen", textContent: " right" }) : null),
      contentOf(targets[target])));
  return make("div", {}, make("h4", {}, `${data.rows[model].label}: `, verdictOf(answer)), make("ol", { className: "top" }, ...list));
}

function opened(query, models) {
  const { targets, models: every } = task();
  return make("div", { className: "open" },
    make("div", { className: "answers" },
      contentOf(query.content, "Query"),
      make("div", {}, ...query.right.map((target) => contentOf(targets[target], "Positive")))),
    make("div", { className: "answers" }, ...models.map((model) => answerOf(model, query.answers[every.indexOf(model)]))));
}

function queryItem(query, models) {
  const mine = query.answers[task().models.indexOf(models[0])];
  const line = query.content.text.replaceAll("<|media|>", "").replace(/\s+/g, " ").trim() || query.content.media.join(", ");
  const item = make("details", {}, make("summary", {}, verdictOf(mine), ` · ${query.id} · ${clipped(line, 160)}`));
  item.addEventListener("toggle", () => {  // content is made when it is opened
    if (item.open && item.children.length === 1) item.append(opened(query, models));
  });
  return make("li", {}, item);
}

function matches(query, words) {
  const { targets } = task();
  const found = [query.content, ...query.right.map((target) => targets[target])];
  const text = found.flatMap((each) => [each.text, ...each.media]).join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function drawQueries() {
  const { models, queries, of } = task();
  const [model, other] = [side("query-model"), side("query-against")];
  const passes = FILTERS[get("query-filter").value][1];
  const words = get("query-search").value.toLowerCase().split(/\s+/);
  const found = queries.filter((query) =>
    passes(query.answers[models.indexOf(model)], query.answers[models.indexOf(other)]) && matches(query, words));
  const both = other >= 0 && other !== model ? [model, other] : [model];
  get("query-list").replaceChildren(...found.map((query) => queryItem(query, both)));
  get("query-count").textContent = `${found.length} of the ${queries.length} queries in this page; the dataset has ${of.toLocaleString("en")}.`;
  drawSimilarity(task().similarity[models.indexOf(model)]);
}

function drawSimilarity(spread) {
  const box = get("similarity").closest("figure");
  box.hidden = !spread;
  if (!spread) return;
  const colour = shades();
  const bins = spread.right.length;
  const middle = (index) => (spread.low + ((index + 0.5) * (spread.high - spread.low)) / bins).toFixed(3);
  const bars = (label, counts, shade) => ({ label, data: counts, backgroundColor: `${colour(shade)}99`, barPercentage: 1, categoryPercentage: 1, grouped: false });
  renew("similarity", {
    type: "bar",
    data: { labels: spread.right.map((_count, index) => middle(index)), datasets: [bars("highest positive", spread.right, "good"), bars("highest wrong", spread.wrong, "bad")] },
    options: {
      scales: { x: axis("similarity", colour, { grid: { display: false } }), y: axis("queries", colour) },
      plugins: { legend: { labels: { color: colour("text") } } },
    },
  });
  const unseen = spread.unseen ? ` For ${spread.unseen === 1 ? "1 query" : `${spread.unseen} queries`}, no positive is among the ten candidates that results keep.` : "";
  const text = `Similarity of all queries of the dataset to their highest positive and to the highest wrong candidate.${unseen}`;
  get("similarity").setAttribute("aria-label", text);
  box.querySelector("figcaption").textContent = text;
}

function chooseTask() {
  const models = task().models.map((index) => [String(index), data.rows[index].label]);
  const kept = (id, otherwise) => (models.some(([value]) => value === get(id).value) ? get(id).value : otherwise);
  const [model, against] = [kept("query-model", models[0][0]), kept("query-against", models[1]?.[0] ?? "-1")];
  choices(get("query-model"), models, model);
  choices(get("query-against"), [["-1", "none"], ...models], against);
  drawQueries();
}

function startQueries() {
  const names = Object.keys(data.viewer?.tasks ?? {});
  get("queries").hidden = get("to-queries").hidden = !names.length;
  if (!names.length) return;
  choices(get("query-task"), names.map((name) => [name, name]));
  choices(get("query-filter"), Object.entries(FILTERS).map(([value, [text]]) => [value, text]));
  get("query-task").addEventListener("change", chooseTask);
  for (const id of ["query-model", "query-against", "query-filter"]) get(id).addEventListener("change", drawQueries);
  get("query-search").addEventListener("input", drawQueries);
  chooseTask();
}
