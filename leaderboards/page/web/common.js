// All data reaches the page as text. No markup is ever made from a string, and no object has keys from the data.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);
const isPhone = () => matchMedia("(max-width: 40rem)").matches;  // the same width as in page.css
const known = (value) => value !== null && value !== undefined;
const columnsOf = (kind) => data.columns.filter((each) => each.kind === kind);
const named = (name, ...kinds) => data.columns.find((each) => each.name === name && kinds.includes(each.kind));

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

function clipped(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

// The same text as in harness/numbers.py: rounded once, half up, from the 12 digits that count.
function fixed(value, digits = 1) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  const [mantissa, power] = Math.abs(value).toExponential(11).split("e");
  const all = mantissa.replace(".", "");
  const count = 1 + Number(power) + digits;  // of the digits that stay
  const kept = count < 0 ? 0n : BigInt(all.padEnd(count, "0").slice(0, count) || "0");
  const whole = kept + (count >= 0 && (all[count] ?? "0") >= "5" ? 1n : 0n);
  const text = String(whole).padStart(digits + 1, "0");
  const end = text.length - digits;
  return (value < 0 && whole ? "-" : "") + text.slice(0, end) + (digits ? `.${text.slice(end)}` : "");
}

const percent = (fraction, digits = 1) => fixed(100 * fraction, digits);

function points(difference, digits = 1) {
  const text = percent(difference, digits);
  return difference > 0 && /[1-9]/.test(text) ? `+${text}` : text;
}

function shades() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

// Offers text or a blob as a file.
function save(name, content, type) {
  const address = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// Explanations: one box, which shows the `data-help` of what is pointed at, touched or focused.
function startHelp() {
  const tip = get("tip");
  let target = null;
  const hide = () => {
    target?.removeAttribute("aria-describedby");
    target = null;
    tip.hidden = true;
  };
  const show = (event) => {
    const found = event.target.closest?.("[data-help]");
    if (found === target) return;
    hide();
    if (!found) return;
    target = found;
    tip.textContent = found.dataset.help;
    tip.hidden = false;
    found.setAttribute("aria-describedby", "tip");
    const box = found.getBoundingClientRect();
    const below = box.bottom + tip.offsetHeight + 8 < innerHeight;
    tip.style.left = `${Math.max(4, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${below ? box.bottom + 4 : Math.max(4, box.top - tip.offsetHeight - 4)}px`;
  };
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, show);
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
