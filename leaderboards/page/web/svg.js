// What every drawing needs: elements, round ticks, places for labels, and files.
function drawn(tag, given = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, typeof value === "number" ? Number(value.toFixed(2)) : value);
  made.append(...children.filter(known));
  return made;
}

// Round numbers from low to high: 1, 2 or 5 times a power of ten apart, `most` of them or fewer.
function ticks(low, high, most = 8) {
  const least = (high - low) / Math.max(1, most - 1) || 1;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least * (1 - 1e-9));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(Number((at * step).toFixed(digits)));
  return found;
}

// 1, 2 and 5 times powers of ten; only powers where there are too many.
function logTicks(low, high, most = 8) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    for (const each of [1, 2, 5]) found.push(Number(`${each}e${power}`));
  }
  const inside = found.filter((each) => each >= low * (1 - 1e-9) && each <= high * (1 + 1e-9));
  const powers = inside.filter((each) => /^1e/.test(each.toExponential(0)));
  return inside.length > most && powers.length > 1 ? powers : inside;
}

const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

// Greedy places for labels beside their points, the first first. A label that has no free place is left out.
function placeLabels(wanted, taken, area, gap = 8) {
  const placed = [];
  for (const { text, x, y, w, h, ...more } of wanted) {
    const spots = [[gap, -h / 2], [-gap - w, -h / 2], [-w / 2, -gap - h], [-w / 2, gap], [gap, -gap - h], [-gap - w, -gap - h], [gap, gap], [-gap - w, gap]];
    const box = spots.map(([dx, dy]) => ({ x: x + dx, y: y + dy, w, h })).find((each) =>
      each.x >= area.x && each.x + w <= area.x + area.w && each.y >= area.y && each.y + h <= area.y + area.h &&
      !taken.some((other) => overlap(each, other)));
    if (!box) continue;
    taken.push(box);
    placed.push({ ...more, text, box });
  }
  return placed;
}

const ruler = document.createElement("canvas").getContext("2d");
function textWidth(text, font = "12px system-ui, sans-serif") {
  ruler.font = font;
  return ruler.measureText(text).width;
}

// The drawing as a file of its own: with the colours that it has on the page.
function standalone(drawing) {
  const copied = drawing.cloneNode(true);
  const [from, to] = [drawing, copied].map((each) => [each, ...each.querySelectorAll("*")]);
  from.forEach((each, index) => {
    const style = getComputedStyle(each);
    for (const key of ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "paint-order", "font-size", "font-weight", "font-family", "text-anchor", "dominant-baseline"]) {
      to[index].setAttribute(key, style.getPropertyValue(key));
    }
    to[index].removeAttribute("class");
  });
  const { width, height } = drawing.viewBox.baseVal;
  copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copied.setAttribute("width", width);
  copied.setAttribute("height", height);
  copied.prepend(drawn("rect", { width, height, fill: shades()("back") }));
  return { text: new XMLSerializer().serializeToString(copied), width, height };
}

function saveSvg(drawing, name) {
  save(`${name}.svg`, standalone(drawing).text, "image/svg+xml");
}

async function savePng(drawing, name, scale = 2) {
  const { text, width, height } = standalone(drawing);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = make("canvas", { width: scale * width, height: scale * height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(`${name}.png`, blob));
}
