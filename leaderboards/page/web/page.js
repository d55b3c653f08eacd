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
  soon = setTimeout(() => {
    drawPlots();
    drawLines();
  }, 120);
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

// A served page asks the server whether the results are still those that it was made from. If not, it loads again. What
// the reader chose is in the address. A reader who is typing or looks at a dialog is not disturbed.
const EVERY = 2000;
const PLACE = "llave-place";

const isBusy = () => Boolean(document.querySelector("dialog[open]") || document.activeElement.closest("input, select") || String(getSelection()));

async function follow() {
  const said = { true: "These results are followed as they grow.", false: "There are new results. They are shown when you leave this field." };
  try {
    const { digest } = await (await fetch("digest")).json();
    get("live").textContent = said[digest === data.live];
    if (digest !== data.live && !isBusy()) {
      keepPlace();
      history.scrollRestoration = "manual";  // else the browser moves the page once more
      location.reload();
      return;
    }
  } catch {
    get("live").textContent = "The server does not answer. These are the last results.";
  }
  setTimeout(follow, EVERY);
}

// Keeps the place of the reader: the focus, and where the part or the query at the top of the window begins. What is above
// it may grow.
function keepPlace() {
  const part = [...document.querySelectorAll("main > section:not([hidden]), #query-list > li")].findLast((each) => each.getBoundingClientRect().top <= 1);
  sessionStorage.setItem(PLACE, JSON.stringify([document.activeElement.id, part?.id, part?.getBoundingClientRect().top]));
}

// Shows the place where the reader was before the page loaded again, or else the part that the address names. The browser
// guesses the heights of queries until it has drawn them, so it takes some turns.
async function showPlace() {
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (!place) return showPart();
  const [focus, id, top] = JSON.parse(place);
  if (focus) get(focus)?.focus({ preventScroll: true });
  for (let turn = 0; turn < 5; turn += 1) {
    if (get(id)) scrollBy(0, get(id).getBoundingClientRect().top - top);
    await new Promise((done) => { setTimeout(done, 50); });
  }
}

async function start() {
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
  startAnalyses();
  const queries = startQueries();
  startCopy();
  startParts();
  const all = () => {
    drawTable();
    drawPlots();
    drawComparison();
    drawLines();
  };
  all();
  state.follow(() => {
    all();
    showPart();
  });
  matchMedia("(max-width: 40rem)").addEventListener("change", draw);
  if (data.live === null) return showPart();
  get("live").hidden = false;
  await queries;
  await showPlace();
  follow();
}

start();
