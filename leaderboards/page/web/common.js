// All data reaches the page as text. No markup is ever made from a string.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);
const percent = (value, digits = 1) => (100 * value).toFixed(digits);
const isPhone = () => matchMedia("(max-width: 40rem)").matches;  // the same width as in page.css
const signed = (value) => (value < 0 ? "−" : "+") + percent(Math.abs(value));
const known = (value) => value !== null && value !== undefined;

// An element with properties, attributes ("aria-…", "data-…", …) and children (nodes, or text).
function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => known(child) && child !== ""));
  return made;
}

function choices(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
  if (known(chosen)) select.value = chosen;
}

function interval(low, high) {
  return known(low) && known(high) ? `[${percent(low)}, ${percent(high)}]` : "";
}

function amount(name, value) {
  if (!known(value) || value === "") return "";
  if (typeof value !== "number") return String(value);
  if (name === "size") {
    const [unit, letter] = [[1e9, "B"], [1e6, "M"], [1e3, "K"], [1, ""]].find(([least]) => value >= least || least === 1);
    return (value / unit).toFixed(letter === "B" ? 1 : 0) + letter;
  }
  return value >= 10 || name === "width" ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(2)));
}

// The score of a row in a mean or a dataset: [value, low, high].
function figure(row, name) {
  return row.means[name]?.figure ?? row.scores[name] ?? [];
}

// The value that rows are sorted by. For a printed mean that its parts contradict, it follows from the parts.
function standing(row, name) {
  return row.means[name] ? row.means[name].sort : row.scores[name]?.[0];
}

function shades() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}
