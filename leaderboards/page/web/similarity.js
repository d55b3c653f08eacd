// How similar the queries of a dataset are to right and wrong answers, by Chart.js.
const charts = new Map();

function axis(text, colour, more = {}) {
  return {
    title: { display: true, text, color: colour("faint") },
    ticks: { color: colour("faint"), maxRotation: 0 },
    grid: { color: colour("line") },
    ...more,
  };
}

function renew(id, config) {
  charts.get(id)?.destroy();
  charts.set(id, new Chart(get(id), { ...config, options: { animation: false, maintainAspectRatio: false, ...config.options } }));
}

function drawSimilarity(spread) {
  const box = get("similarity").closest("figure");
  box.hidden = !spread;
  if (!spread) return;
  const colour = shades();
  const digits = Math.max(0, Math.ceil(-Math.log10(spread.step) - 1e-9));
  const edge = (index) => (spread.low + index * spread.step).toFixed(digits);
  const line = (label, counts, shade, pointStyle, borderDash) => ({
    label, pointStyle, borderDash, data: counts.map((y, index) => ({ x: spread.low + (index + 0.5) * spread.step, y })),
    borderColor: colour(shade), backgroundColor: `${colour(shade)}2e`, fill: "origin", borderWidth: 1.5, pointRadius: 3,
  });
  renew("similarity", {
    type: "line",
    data: { datasets: [line("best right answer", spread.right, "right", "circle", []), line("best wrong answer", spread.wrong, "wrong", "triangle", [5, 3])] },
    options: {
      scales: {
        x: axis("similarity", colour, { type: "linear", bounds: "ticks", grid: { display: false } }),
        y: axis("queries", colour, { beginAtZero: true, bounds: "ticks", ticks: { color: colour("faint"), precision: 0 } }),
      },
      plugins: {
        legend: { labels: { color: colour("text"), usePointStyle: true, boxHeight: 7 } },
        tooltip: { callbacks: { title: ([{ dataIndex }]) => `${edge(dataIndex)} to ${edge(dataIndex + 1)}` } },
      },
    },
  });
  const unseen = spread.unseen ? ` For ${spread.unseen === 1 ? "1 query" : `${spread.unseen.toLocaleString("en")} queries`}, the result does not have the score of a right answer.` : "";
  const text = `Similarity of all queries of the dataset to their best right answer and to their best wrong answer.${unseen}`;
  get("similarity").setAttribute("aria-label", text);
  box.querySelector("figcaption").textContent = text;
}
