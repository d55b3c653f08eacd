// The table as it is shown, as CSV, Markdown and LaTeX, from the same text. Escapes are those of `markdown_text` and `latex_text`.
const escapes = { markdown: new Map(data.escapes.markdown), latex: new Map(data.escapes.latex) };

function escaped(text, form) {
  const plain = [...text.split(/\s+/).filter(Boolean).join(" ")].map((each) => escapes[form].get(each) ?? each).join("");
  return form === "latex" ? plain.replace(/(?<![\w)])-(?=\d)/g, "$$-$$").replace(/([-',])(?=\1)/g, "$1{}") : plain;
}

// The text of a cell: the figure, its interval in brackets, its style.
function textOf(column, row) {
  if (column === MODEL) return { text: data.rows[row].label, extra: "", style: "" };
  if (column === SOURCE) return { text: data.rows[row].kind, extra: "", style: "" };
  const extra = get("intervals").checked || column.kind === "rank" ? column.extras[row] : "";
  return { text: column.texts[row], extra, style: column.styles[row] };
}

// A field of a spreadsheet. One that would be evaluated as a formula starts with an apostrophe; numbers are no formulas.
function field(text) {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^[+-]?[\d.,]+$/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function asCsv() {
  const parts = view.columns.map((column) => [column, shown.some((row) => textOf(column, row).extra)]);
  const head = parts.flatMap(([{ name }, ends]) => (ends ? [name, `${name}_low`, `${name}_high`] : [name]));
  const body = shown.map((row) => parts.flatMap(([column, ends]) => {
    const { text, extra } = textOf(column, row);
    const [low = "", high = ""] = extra.replace(/^\[|\]$/g, "").split(/, |–/);
    return ends ? [text, low, high] : [text];
  }));
  return [head, ...body].map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
}

function asMarkdown() {
  const marks = new Map([["best", "**"], ["second", "_"]]);
  const cell = ({ text, extra, style }) => {
    const mark = (text && marks.get(style)) || "";
    return `${mark}${escaped(text, "markdown")}${mark} ${escaped(extra, "markdown")}`.trim();
  };
  const lines = [
    view.columns.map(({ name }) => escaped(name, "markdown")),
    view.columns.map(({ text }) => (text ? ":---" : "---:")),
    ...shown.map((row) => view.columns.map((column) => cell(textOf(column, row)))),
  ];
  return `${escaped(`${data.suite}: ${data.title}`, "markdown")}\n\n${lines.map((line) => `| ${line.join(" | ")} |`).join("\n")}\n`;
}

function asLatex() {
  const marks = new Map([["best", "\\textbf"], ["second", "\\underline"]]);
  const cell = ({ text, extra, style }) => {
    const plain = escaped(text, "latex");
    const figure = marks.has(style) && plain ? `${marks.get(style)}{${plain}}` : plain;
    return extra ? `${figure} {\\scriptsize ${escaped(extra, "latex")}}` : figure;
  };
  const line = (texts) => `${texts.join(" & ")} \\\\`;
  return [
    "% needs \\usepackage{booktabs,longtable}",
    `\\begin{longtable}{${view.columns.map(({ text }) => (text ? "l" : "r")).join("")}}`,
    `\\caption{${escaped(`${data.suite}: ${data.title}`, "latex")}} \\\\`,
    "\\toprule",
    line(view.columns.map(({ name }) => escaped(name, "latex"))),
    "\\midrule",
    "\\endhead",
    "\\bottomrule",
    "\\endfoot",
    ...shown.map((row) => line(view.columns.map((column) => cell(textOf(column, row))))),
    "\\end{longtable}",
    "",
  ].join("\n");
}

const FORMS = new Map([
  ["csv", { name: "CSV", make: asCsv, type: "text/csv" }],
  ["md", { name: "Markdown", make: asMarkdown, type: "text/markdown" }],
  ["tex", { name: "LaTeX", make: asLatex, type: "application/x-tex" }],
]);

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // refused, or not there on a page that came without encryption
    const box = make("textarea", { value: text, className: "unseen" });
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
}

function startCopy() {
  choices(get("form"), [...FORMS].map(([value, { name }]) => [value, name]));
  const said = (what) => { get("copied").textContent = `${what} ${shown.length} row${shown.length === 1 ? "" : "s"} as ${FORMS.get(get("form").value).name}.`; };
  get("copy").addEventListener("click", async () => {
    await copy(FORMS.get(get("form").value).make());
    said("Copied");
  });
  get("download").addEventListener("click", () => {
    const { make: text, type } = FORMS.get(get("form").value);
    save(`board.${get("form").value}`, text(), type);
    said("Saved");
  });
  get("print").addEventListener("click", () => print());
}
