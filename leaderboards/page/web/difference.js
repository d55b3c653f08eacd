// The difference of two rows whose queries are not paired. It follows from the numbers of queries, as in
// leaderboards/compare: a test holds that the numbers are the same.
const Z = 1.959963984540054;

// The estimate of a mean and its variance, with one hit and one miss more of the weight `share` (Agresti and Caffo, 2000).
function unpaired(mean, count, share) {
  const total = count + 2 * share;
  const centre = (mean * count + share) / total;
  return { centre, variance: (centre * (1 - centre)) / total };
}

// erfc(x) for x >= 0: a series near zero, else a continued fraction.
function erfc(x) {
  if (x < 2.5) {
    let [term, sum] = [x, x];
    for (let n = 1; term > 1e-18 * sum; n += 1) sum += term *= (2 * x * x) / (2 * n + 1);
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = x;
  for (let n = 120; n > 0; n -= 1) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / (fraction * Math.sqrt(Math.PI));
}

// A weighted mean of differences b - a of means: [weight, a, b], where a and b have a `mean` and a `count`.
function meanDifference(name, dataset, parts) {
  let [a, b, centre, variance] = [0, 0, 0, 0];
  for (const [weight, ...sides] of parts) {
    const [first, second] = sides.map(({ mean, count }) => unpaired(mean, count, weight));
    a += weight * sides[0].mean;
    b += weight * sides[1].mean;
    centre += weight * (second.centre - first.centre);
    variance += weight ** 2 * (first.variance + second.variance);
  }
  const half = Z * Math.sqrt(variance);
  const p = erfc(Math.abs(centre) / Math.sqrt(2 * Math.max(variance, 1e-20)));
  return { name, dataset, a, b, interval: [Math.max(-1, centre - half), Math.min(1, centre + half)], p, counts: null };
}

// P-values adjusted for their number (Holm, 1979), in the same order.
function holm(values) {
  let most = 0;
  const adjusted = [];
  values.map((p, index) => [p, index]).sort((x, y) => x[0] - y[0]).forEach(([p, index], place) => {
    most = Math.max(most, p * (values.length - place));
    adjusted[index] = Math.min(1, most);
  });
  return adjusted;
}

// The differences of all datasets that both rows have under one metric, with numbers of queries; by index.
function datasetDifferences(a, b) {
  const found = new Map();
  data.pairs.tasks.forEach(({ name, column, worth, metrics }, index) => {
    const { values } = named(column, "dataset");
    if (!known(values[a]) || !known(values[b]) || metrics[a] !== metrics[b] || !worth[a] || !worth[b]) return;
    const [first, second] = [a, b].map((row) => ({ mean: values[row], count: worth[row] }));
    found.set(index, { name, a: first, b: second });
  });
  return found;
}

function meanDifferences(a, b, datasets) {
  const { tasks, means, suite, common } = data.pairs;
  const of = (parts) => parts.map(([index, weight]) => [weight, datasets.get(index).a, datasets.get(index).b]);
  const whole = suite >= 0 && tasks.slice(0, suite).every((_, index) => datasets.has(index));
  const found = whole || !datasets.size ? [] : [meanDifference(common, false, of([...datasets.keys()].map((index) => [index, 1 / datasets.size])))];
  for (const { name, parts, whole: every, values, count } of means) {
    if (every && parts.every(([index]) => datasets.has(index))) found.push(meanDifference(name, false, of(parts)));
    else if (known(values[a]) && known(values[b])) {
      if (count) found.push(meanDifference(name, false, [[1, { mean: values[a], count }, { mean: values[b], count }]]));
      else found.push({ name, dataset: false, a: values[a], b: values[b], interval: null, p: null, counts: null });
    }
  }
  return found.sort((x, y) => (x.name === "overall" ? 0 : 1) - (y.name === "overall" ? 0 : 1));
}

function namesOf(indexes, most = 8) {
  const names = indexes.map((index) => data.pairs.tasks[index].name);
  return names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");
}

function caveatsOf(a, b, datasets) {
  const scores = data.pairs.tasks.map(({ column }) => named(column, "dataset").values);
  const having = (row) => scores.flatMap((values, index) => (known(values[row]) ? [index] : []));
  const [first, second] = [having(a), having(b)];
  const notes = [];
  for (const [row, mine, other] of [[a, first, second], [b, second, first]]) {
    const only = mine.filter((index) => !other.includes(index));
    if (only.length && other.length) notes.push(`Only ${data.rows[row].label} has ${namesOf(only)}.`);
  }
  const left = first.filter((index) => second.includes(index) && !datasets.has(index));
  if (left.length) notes.push(`Not compared, for different metrics or unknown numbers of queries: ${namesOf(left)}.`);
  const rules = [a, b].map((row) => data.pairs.protocols[row]);
  if (rules[0] !== rules[1]) notes.push(`The protocols differ: ${rules.join("; ")}.`);
  const unlike = [...datasets.keys()].filter((index) => data.pairs.tasks[index].counts[a] !== data.pairs.tasks[index].counts[b]);
  if (unlike.length) notes.push(`The numbers of queries differ, so these are hardly comparable: ${namesOf(unlike)}.`);
  return notes;
}

// The comparison of two rows, b - a: of their queries if the page has it, else of the numbers of queries.
function comparison(a, b) {
  const pair = data.pairs.paired.find((each) => (each.a === a && each.b === b) || (each.a === b && each.b === a));
  if (pair) return pair.a === a ? pair : { changes: pair.changes.map(turned), notes: pair.notes };
  const shares = datasetDifferences(a, b);
  const datasets = [...shares.values()].map((each) => meanDifference(each.name, true, [[1, each.a, each.b]]));
  const adjusted = holm(datasets.map((each) => each.p));
  datasets.forEach((each, index) => { each.p = adjusted[index]; });
  const how = "Not paired: the intervals follow from the numbers of queries, so they are wider than those of the same queries.";
  return { changes: [...meanDifferences(a, b, shares), ...datasets], notes: [how, ...caveatsOf(a, b, shares)] };
}

function turned(change) {
  const ends = change.interval;
  return { ...change, a: change.b, b: change.a, interval: ends && [-ends[1], -ends[0]], counts: change.counts?.toReversed() };
}
