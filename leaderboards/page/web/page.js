// Starts the page.
function draw() {
  drawTable();
  drawPlots();
  if (data.viewer && !get("queries").hidden) drawQueries();
}

function start() {
  get("suite").textContent = data.suite;
  get("title").textContent = data.title;
  get("note-list").append(...data.notes.map((text) => make("li", { textContent: text })));
  startTable();
  startPlots();
  startCompare();
  startQueries();
  const again = () => { drawTable(); drawPlots(); };
  for (const event of ["input", "change"]) get("filters").addEventListener(event, again);  // drivers send one of them, browsers both
  get("filters").addEventListener("submit", (event) => event.preventDefault());
  get("filters").addEventListener("reset", () => setTimeout(again));  // after the fields are reset
  drawTable();
  drawPlots();
  drawComparison();
}

start();
