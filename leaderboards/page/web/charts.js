// Charts by Chart.js.
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
