// Runs over their checkpoints: small multiples of each batch norm, all of one quantity on one scale.
const SERIES = [
  ["shift", "mean shift", "how far the mean went since the checkpoint before, in deviations of then"],
  ["ratio", "variance ratio", "the variance over that of the checkpoint before"],
  ["share", "initial share", "what the values from before the first update still weigh"],
];
const TURNS = [["bad", "not finite since", "error"], ["reset", "reset at", "warning"], ["stopped", "stopped since", "warning"],
               ["rest", "at rest since", "plain"]];

// Where each checkpoint lies between 0 and 1: by its step where all have one and they grow.
function placesOf(labels) {
  const last = labels.length - 1;
  const grow = labels.every((label, i) => finite(label) && (i === 0 || label > labels[i - 1]));
  return labels.map((label, i) => last < 1 ? 0.5 : grow ? (label - labels[0]) / (labels[last] - labels[0]) : i / last);
}

// Of a run: from the values of a quantity to heights between 0 (below) and 1, and the marks beside it.
function scaleOver(key, layers) {
  if (key === "share") return {of: value => value, marks: [0, 1], line: null};
  const values = layers.flatMap(layer => layer[key]).map(real).filter(value => finite(value) && value > 0).map(Math.log10);
  if (key === "ratio") {
    const most = Math.min(Math.max(0.1, ...values.map(Math.abs)), 6);
    return {of: value => value > 0 ? (Math.log10(value) + most) / (2 * most) : 0, marks: [10 ** -most, 10 ** most], line: 0.5};
  }
  const high = Math.max(-1, ...values), low = Math.max(Math.min(high - 1, ...values), high - 6);
  return {of: value => value > 0 ? 0.04 + 0.96 * (Math.log10(value) - low) / (high - low) : 0, marks: [10 ** low, 10 ** high], line: null};
}

const stepName = label => typeof label === "number" ? number(label) : baseName(label);

function turnsInWords(layer, labels) {
  return TURNS.filter(([key]) => layer.turns[key] !== null)
    .map(([key, words]) => `${words} ${stepName(labels[layer.turns[key]])}`);
}

function seriesInWords(name, values, labels) {
  const known = values.map((value, i) => [value, i]).filter(([value]) => value !== null);
  if (known.length === 0) return `${name}: not known`;
  const [first, at] = known[0], [last, end] = known[known.length - 1];
  return known.length === 1 ? `${name}: ${number(first)} at ${stepName(labels[at])}`
    : `${name}: ${number(first)} at ${stepName(labels[at])} to ${number(last)} at ${stepName(labels[end])}`;
}

function turnMarks(layer, x, top, base) {
  return TURNS.filter(([key]) => layer.turns[key] !== null).map(([key, , tone]) => {
    const at = x(layer.turns[key]);
    return [draw("path", {class: `turn ${tone}`, d: `M${at.toFixed(1)} ${top}V${base}`}),
      tone === "plain" ? null : draw("path", {class: `dot ${tone}`, d: tone === "error"
        ? `M${at - 4} ${top + 7}h8l-4 -7Z` : `M${at} ${top}l4 4l-4 4l-4 -4Z`})];
  });
}

// A line over the checkpoints; it is broken where a value is not known or not finite.
function lineChart([key, name], layer, run, width, height, large) {
  const left = large ? 46 : 0, foot = large ? 18 : 0, top = 3, base = height - foot - 2;
  const places = run.places, scale = run.scales[key];
  const x = i => left + 4 + places[i] * (width - left - 8);
  const y = value => base - Math.min(Math.max(scale.of(value), 0), 1) * (base - top);
  const parts = [draw("path", {class: "axis", d: `M${left} ${base + 0.5}H${width}`})];
  if (scale.line !== null) parts.push(draw("path", {class: "zero", d: `M${left} ${(base - scale.line * (base - top)).toFixed(1)}H${width}`}));
  parts.push(turnMarks(layer, x, top, base));
  let path = "", pen = false;
  const dots = [];
  layer[key].map(real).forEach((value, i) => {
    if (value === null || Number.isNaN(value)) { pen = false; return; }
    path += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
    const alone = [i - 1, i + 1].every(j => [undefined, null].includes(layer[key][j]));
    if (alone || (large && places.length <= 40)) dots.push(draw("circle", {class: "dot plain", cx: x(i).toFixed(1), cy: y(value).toFixed(1), r: 2.4},
      draw("title", {}, `${stepName(run.labels[i])}: ${number(layer[key][i])}`)));
  });
  if (path) parts.push(draw("path", {class: "line", d: path}), dots);
  else parts.push(draw("text", {class: "none", x: (left + width) / 2, y: (top + base) / 2 + 4, "text-anchor": "middle"}, "–"));
  if (large) {
    scale.marks.forEach((mark, i) => parts.push(draw("text", {class: "tick", x: left - 4, y: i === 0 ? base : top + 10, "text-anchor": "end"}, number(mark))));
    parts.push(draw("text", {class: "tick", x: left, y: height - 3}, stepName(run.labels[0])),
      draw("text", {class: "tick", x: width, y: height - 3, "text-anchor": "end"}, stepName(run.labels[run.labels.length - 1])));
  }
  const title = [seriesInWords(name, layer[key], run.labels), ...turnsInWords(layer, run.labels)].join("; ");
  return picture(width, height, title, {class: "series"}, parts);
}

// Two rows of marks, statistics above weights: filled where they moved since the checkpoint before.
function movedChart(layer, run, width, height, large) {
  const left = large ? 64 : 0, last = Math.max(run.places.length - 1, 1);
  const step = (width - left - 8) / last, size = Math.max(Math.min(step - 1, 9), 1.2);
  const parts = [], rows = [["statistics", "sb"], ["weights", "wb"]];
  rows.forEach(([name, letters], row) => {
    const y = (large ? 8 : 4) + row * (large ? 26 : 14);
    if (large) parts.push(draw("text", {class: "tick", x: 0, y: y + 9}, name));
    [...layer.moved].forEach((letter, i) => {
      if (letter === " ") return;
      const x = left + 4 + run.places[i] * (width - left - 8) - size / 2;
      parts.push(draw("rect", {class: letters.includes(letter) ? "did" : "did not", x: x.toFixed(1), y, width: size.toFixed(1), height: 9}));
    });
  });
  const count = letters => [...layer.moved].filter(letter => letters.includes(letter)).length, known = count("sbwn");
  return picture(width, height, `statistics moved in ${count("sb")} and weights in ${count("wb")} of ${plural(known, "step")}`,
    {class: "moves"}, parts);
}

function trendItem(layer, place, run, detail, byLayer) {
  const findings = detail.findings, places = byLayer.get(layer.i) || [], tone = toneOf(findings, places);
  const turns = turnsInWords(layer, run.labels);
  const latest = key => { const known = layer[key].map(real).filter(value => value !== null); return known.length ? known[known.length - 1] : null; };
  return {
    id: layerId(place, layer.i), scope: layer.scope,
    note: [layer.channels === undefined ? null : plural(layer.channels, "channel"), ...turns,
      layer.gone ? "not in the last checkpoint" : null].filter(one => one).join(", "),
    badges: tone && tone !== "info" ? badge(tone) : null, flagged: tone === "error" || tone === "warning",
    cells: [...SERIES.map(one => [one[1], () => lineChart(one, layer, run, 108, 34, false)]),
      ["moved", () => movedChart(layer, run, 108, 34, false)]],
    shift: latest("shift"), share: latest("share"),
    body: () => [
      places.length === 0 ? null : el("ul", {class: "about"}, places.map(at => el("li", {}, badge(findings[at].severity), " ",
        el("a", {href: `#input-${place}-finding-${at}`}, `${findings[at].rule}: ${findings[at].subject}`)))),
      el("div", {class: "large"}, SERIES.map(one => el("div", {}, el("p", {class: "name"}, `${one[1]}: ${one[2]}`), lineChart(one, layer, run, 300, 120, true))),
        el("div", {}, el("p", {class: "name"}, "moved since the checkpoint before (filled)"), movedChart(layer, run, 300, 66, true))),
      facts([...TURNS.map(([key, words]) => [words, layer.turns[key] === null ? null : stepName(run.labels[layer.turns[key]])]),
        ["values not finite, at most", layer.bad ? grouped(layer.bad) : null]]),
      longTable("Checkpoint by checkpoint", ["checkpoint", ...SERIES.map(([, name]) => name)], run.labels.map((label, i) => () =>
        [stepName(label), ...SERIES.map(([key]) => number(layer[key][i]))]), {numbers: [1, 2, 3]})],
  };
}

// Of all layers: how far means moved, checkpoint by checkpoint.
function shiftsFigure(detail, run) {
  const points = run.labels.map((label, x) => {
    const values = detail.layers.map(layer => real(layer.shift[x])).filter(finite).sort((a, b) => a - b);
    const at = share => values[Math.min(Math.floor(share * values.length), values.length - 1)];
    const broken = detail.layers.some(layer => layer.turns.bad === x), reset = detail.layers.some(layer => layer.turns.reset === x);
    return {x, low: at(0.05), mid: at(0.5), high: at(0.95), dot: values[values.length - 1],
      tone: broken ? "error" : reset ? "warning" : "plain", text: `${stepName(label)}: median ${number(at(0.5))}, largest ${number(values[values.length - 1])}`};
  });
  if (points.filter(point => finite(point.dot)).length < 2) return null;
  return figure("How far means moved",
    "The mean of each batch norm beside that of the checkpoint before, in deviations. Line: the median batch norm; band: 5 % to " +
    "95 %; dots: the largest. A healthy run goes down to the noise of a batch and stays there.",
    width => byDepth(width, {title: `How far means moved over ${plural(run.labels.length, "checkpoint")}`, floor: -6,
      axis: "checkpoints →", from: stepName(run.labels[0]), to: stepName(run.labels[run.labels.length - 1])}, points));
}

function runBody({row, detail}, place, rules) {
  if (detail === null)
    return [el("p", {class: "callout warning"}, "There was no room for this run's details on a page with so many. A report of it alone has them.")];
  const run = {labels: detail.labels, places: placesOf(detail.labels),
    scales: Object.fromEntries(SERIES.map(([key]) => [key, scaleOver(key, detail.layers)]))};
  const byLayer = findingsByLayer(detail.findings);
  const items = detail.layers.map(layer => trendItem(layer, place, run, detail, byLayer));
  const left = row.norms - items.length, more = row.checkpoints - detail.steps.length;
  return [
    findingsSection(detail, place, rules),
    items.length === 0 ? null : section("Batch norms", shiftsFigure(detail, run),
      layerList(items, {flag: "with an error or a warning", heads: [...SERIES.map(([, name]) => name), "moved"],
        orders: {"mean moved most at the end": item => item.shift, "initial values weigh most": item => item.share}}),
      left > 0 ? el("p", {class: "soft"}, `${plural(left, "batch norm")} more: --format json lists all.`) : null),
    section("Checkpoints", longTable("Checkpoints", ["checkpoint", "step", "batch norms that moved", ""], detail.steps.map(([step, path, moved, present, error], i) =>
      () => [code(path), step === null ? "–" : number(step), error ? "–" : i === 0 ? `– of ${grouped(present)}` : `${grouped(moved)} of ${grouped(present)}`,
        error ? [badge("unreadable"), " ", error] : ""]), {numbers: [1, 2]}),
      more > 0 ? el("p", {class: "soft"}, `${plural(more, "checkpoint")} more: --format json lists all.`) : null),
  ];
}

function runsOverview(data) {
  return section("Runs", longTable("Runs", ["run", "verdict", "checkpoints", "errors", "warnings", "batch norms"], data.inputs.map(({row}, place) => () => [
    el("a", {href: `#input-${place}`}, row.path), badge(row.state), grouped(row.checkpoints),
    grouped(row.findings[0]), grouped(row.findings[1]), grouped(row.norms)]), {numbers: [2, 3, 4, 5], first: 200, class: "files"}),
    data.inputs_left_out > 0 ? el("p", {class: "callout warning"}, `${plural(data.inputs_left_out, "run")} more had no room on this page: --format json lists all.`) : null);
}

function trendPage(data) {
  const many = data.inputs.length !== 1 || data.inputs_left_out > 0, first = data.inputs[0].row;
  const nodes = many
    ? [runsOverview(data), section("Each run", data.inputs.map((input, place) => folding({class: "input", id: `input-${place}`},
        [el("span", {class: "path"}, input.row.path), " ", badge(input.row.state)], () => runBody(input, place, data.rules))))]
    : runBody(data.inputs[0], 0, data.rules);
  if (data.remarks && data.remarks.length > 0)
    nodes.unshift(el("ul", {class: "remarks"}, data.remarks.map(text => el("li", {}, text))));
  if (data.not_read.count > 0) {
    nodes.push(section("Not read", folding({}, plural(data.not_read.count, "file"), () =>
      table("Files that were not read", ["file", "reason"], data.not_read.list.map(([path, why]) => [code(path), why])))));
  }
  const of = tone => data.inputs.filter(({row}) => (KINDS[row.state] || "info") === tone).length;
  const tiles = many
    ? [tile(data.inputs.length + data.inputs_left_out, "runs"), tile(of("error"), "with errors", of("error") ? "error" : ""),
       tile(of("warning"), "with warnings", of("warning") ? "warning" : ""), tile(of("ok"), "moving", of("ok") ? "ok" : "")]
    : [tile(grouped(first.checkpoints), first.checkpoints === 1 ? "checkpoint" : "checkpoints"),
       first.unreadable ? tile(grouped(first.unreadable), "unreadable", "error") : null,
       tile(grouped(first.norms), first.norms === 1 ? "batch norm" : "batch norms"),
       tile(first.findings[0], first.findings[0] === 1 ? "error" : "errors", first.findings[0] ? "error" : ""),
       tile(first.findings[1], first.findings[1] === 1 ? "warning" : "warnings", first.findings[1] ? "warning" : "")];
  return {title: many ? plural(data.inputs.length + data.inputs_left_out, "run") : first.path,
    verdict: many ? null : badge(first.state), tiles, nodes};
}
