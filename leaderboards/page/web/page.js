// Starts the page.
let soon = 0;

function draw() {
  const rows = () => String(shown.toSorted((a, b) => a - b));
  const before = rows();
  drawTable();
  if (rows() !== before) drawSoon();
}

// Plots follow when the reader pauses.
function drawSoon() {
  clearTimeout(soon);
  soon = setTimeout(drawPlots, 120);
}

// Links to the parts of the page. The address holds the state, so the part is a key of it.
function showPart() {
  const part = state.get("at") && document.querySelector(`main > section[id="${CSS.escape(state.get("at"))}"]`);
  part?.scrollIntoView();
}

function startParts() {
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      state.set("at", link.getAttribute("href").slice(1));
      showPart();
      document.querySelector(`${link.getAttribute("href")} h2`).focus();
    });
  }
}

function start() {
  get("suite").textContent = data.suite;
  get("title").textContent = data.title;
  get("note-list").append(...data.notes.map((text) => make("li", { textContent: text })));
  const { version, date, command } = data.made;
  get("made").append(`Made with llave-bench ${version} on ${date}`, ...(command ? [" by ", make("code", { textContent: command })] : []), ".");
  startHelp();
  startFilters();
  startTable();
  startPlots();
  startCompare();
  startQueries();
  startCopy();
  startParts();
  const all = () => {
    drawTable();
    drawPlots();
    drawComparison();
  };
  all();
  state.follow(() => {
    all();
    showPart();
  });
  matchMedia("(max-width: 40rem)").addEventListener("change", draw);
  showPart();
}

start();
