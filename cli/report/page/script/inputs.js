// Inputs of inspect and audit.
const SEVERITIES = ["error", "warning", "info"];
const layerId = (place, i) => `input-${place}-layer-${i}`;

// The gravest finding about each layer, and all of them.
function findingsByLayer(findings) {
  const of = new Map();
  findings.forEach((finding, at) => {
    for (const i of finding.layers) {
      if (!of.has(i)) of.set(i, []);
      of.get(i).push(at);
    }
  });
  return of;
}
const toneOf = (findings, places) =>
  SEVERITIES.find(severity => (places || []).some(at => findings[at].severity === severity));

function findingArticle(finding, place, at, detail, rules) {
  const rule = rules[finding.rule] || {};
  const known = new Map(detail.layers.map(layer => [layer.i, layer.scope]));
  const links = finding.layers.filter(i => known.has(i)).map(i =>
    el("li", {}, el("a", {href: `#${layerId(place, i)}`}, known.get(i))));
  const more = finding.layer_count - links.length;
  const layers = links.length === 0 ? null :
    el("div", {class: "links"}, el("h4", {}, finding.layer_count === 1 ? "Batch norm" : "Batch norms"),
      el("ul", {}, links.slice(0, 12)),
      links.length > 12 ? folding({class: "inline"}, plural(links.length - 12, "more", "more"),
        () => el("ul", {}, links.slice(12))) : null,
      more > 0 ? el("p", {class: "soft"}, `${plural(more, "more", "more")} not listed here`) : null);
  return el("article", {class: `finding ${finding.severity}`, id: `input-${place}-finding-${at}`, tabindex: "-1"},
    el("h3", {}, badge(finding.severity, finding.severity === "info" ? "note" : finding.severity), " ",
      el("span", {class: "rule"}, finding.rule), " ", rule.name || ""),
    el("p", {class: "subject"}, finding.subject),
    el("p", {}, finding.message),
    finding.fix ? el("p", {}, el("strong", {}, "Fix: "), finding.fix) : null,
    layers,
    rule.text ? folding({class: "inline"}, `What ${finding.rule} means`,
      () => el("div", {class: "prose"}, rule.text.split(/\n\n+/).map(part => el("p", {}, part)))) : null);
}

function findingsSection(detail, place, rules) {
  if (detail.findings.length === 0)
    return section("Findings", el("p", {}, badge("clean", "no findings")));
  const grave = detail.findings.map((finding, at) => [finding, at]).filter(([one]) => one.severity !== "info");
  const notes = detail.findings.map((finding, at) => [finding, at]).filter(([one]) => one.severity === "info");
  const article = ([finding, at]) => findingArticle(finding, place, at, detail, rules);
  const left = detail.finding_count - detail.findings.length;
  const box = notes.length === 0 ? null : folding({class: "notes", id: `input-${place}-notes`},
    plural(notes.length, "note"), () => notes.map(article));
  return section("Findings",
    grave.length === 0 ? el("p", {}, badge("ok", "no error and no warning")) : grave.map(article), box,
    left > 0 ? el("p", {class: "soft"}, `${plural(left, "finding")} more: --format json lists all.`) : null);
}

const sourced = (value, shown) => value &&
  [exact(shown === undefined ? value.value : shown), el("span", {class: "soft"}, ` (${value.source}: ${value.detail})`)];

function layerFacts(layer) {
  const [gamma, beta, mean, variance] = layer.tensors;
  const tensor = name => name === null ? "not there" : code(name);
  const initial = layer.initial;
  return facts([
    ["channels", layer.channels === undefined ? "its tensors disagree" : grouped(layer.channels)],
    ["epsilon", sourced(layer.epsilon) || "not recorded"],
    ["decay of the statistics", sourced(layer.momentum) || "not recorded"],
    ["initial values still weigh", initial
      ? `${percent(initial.weight)}: ${exact(initial.decay)} to the power ${grouped(initial.updates)}, counted by ${initial.by}`
      : "nothing in the file says"],
    ["gamma", tensor(gamma)], ["beta", tensor(beta)],
    ["moving mean", tensor(mean)], ["moving variance", tensor(variance)],
    ["training mode", layer.training_mode],
    ["frozen", layer.frozen ? "yes" : null],
    ["batch norm for sure", layer.certain === false ? "no: it may be another norm" : null],
  ]);
}

function layerItem(layer, place, detail, byLayer) {
  const findings = detail.findings || [], places = byLayer.get(layer.i) || [];
  const tone = toneOf(findings, places);
  const initial = layer.initial && layer.initial.weight > 0.01
    ? el("span", {class: "badge plain"}, `initial ${percent(layer.initial.weight)}`) : null;
  const channels = layer.channels === undefined ? "sizes disagree" : plural(layer.channels, "channel");
  return {
    id: layerId(place, layer.i), scope: layer.scope, note: channels, ofs: [layer.of || {}],
    badges: [tone && tone !== "info" ? [badge(tone), " "] : null, initial],
    flagged: tone === "error" || tone === "warning",
    gain: layer.of && layer.of.gain_size && layer.of.gain_size.q ? layer.of.gain_size.q[4] : null,
    initial: layer.initial ? layer.initial.weight : null, channels: layer.channels,
    body: () => [
      places.length === 0 ? null : el("ul", {class: "about"}, places.map(at => el("li", {},
        badge(findings[at].severity, findings[at].severity === "info" ? "note" : findings[at].severity), " ",
        el("a", {href: `#input-${place}-finding-${at}`}, `${findings[at].rule}: ${findings[at].subject}`)))),
      largeOnes([layer.of || {}]), statistics([layer.of || {}], [""]), layerFacts(layer)],
  };
}

function gainsFigure(detail, place, byLayer) {
  const points = [];
  for (const layer of detail.layers) {
    const gains = layer.of && layer.of.gain_size;
    if (!gains) continue;
    const tone = toneOf(detail.findings || [], byLayer.get(layer.i));
    const q = gains.q || [null, null, null, null, null];
    points.push({x: points.length, low: q[1], mid: q[2], high: q[3], dot: q[4] ?? Infinity,
      tone: tone === "info" ? "plain" : tone, link: `#${layerId(place, layer.i)}`,
      text: `${layer.scope}: median ${number(q[2])}, largest ${number(q[4])}`});
  }
  if (points.length < 2) return null;
  const largest = points.reduce((a, b) => (real(b.dot) > real(a.dot) ? b : a));
  return figure("Gains by depth",
    "Each channel is multiplied by gamma / √(variance + epsilon), its gain. Line: the median channel of each batch norm; " +
    "band: 5 % to 95 %; dots: the largest. Triangles and diamonds are batch norms with an error or a warning.",
    width => byDepth(width, {title: `Gains of ${points.length} batch norms by depth; the largest is in ${largest.text}`,
      floor: -6}, points));
}

function driftSection(drift) {
  const words = one => `${number(one.typical)} (noise ${number(one.noise)})`;
  return section("Beside the data",
    el("p", {}, `${plural(drift.examples, "example")}${drift.judged ? "" : ", too few to judge by"}: how far the ` +
      "statistics are from the data's. Mean in deviations, variance as a power of 2; the median channel."),
    rangesTable(drift.inputs),
    longTable("Distance from the data", ["batch norm", "mean, as served", "variance, as served", "mean, alone", "variance, alone"],
      drift.layers.map(layer => () => [code(layer.scope), words(layer.served.mean), words(layer.served.variance),
        words(layer.alone.mean), words(layer.alone.variance)]), {numbers: [1, 2, 3, 4]}),
    drift.left_out.length === 0 ? null : el("ul", {}, drift.left_out.map(([scope, why]) =>
      el("li", {}, code(scope), `: not measured, ${why}`))));
}

const rangesTable = ranges => ranges.length === 0 ? null :
  table("Inputs", ["input", "shape", "least", "most", "mean", "deviation"], ranges.map(range =>
    [code(range.input), range.shape.join(" × "), number(range.least), number(range.most), number(range.mean),
     number(range.deviation)]), {numbers: [2, 3, 4, 5]});

function tensorsSection(detail, row) {
  const left = row.tensor_count - detail.tensors.length;
  const total = detail.roles.reduce((sum, [, , size]) => sum + size, 0);
  return section("Tensors",
    table("Tensors by role", ["role", "tensors", "bytes", "share"], detail.roles.map(([role, count, size]) =>
      [role.replaceAll("_", " "), grouped(count), bytes(size), total > 0 ? percent(size / total) : "–"]), {numbers: [1, 2, 3]}),
    folding({}, `All ${plural(row.tensor_count, "tensor")}`, () => [
      longTable("Tensors", ["tensor", "type", "shape", "role", "bytes"], detail.tensors.map(([name, type, shape, role, size]) =>
        () => [code(name), type, shape, role.replaceAll("_", " "), bytes(size)]), {numbers: [4], first: 100}),
      left > 0 ? el("p", {class: "soft"}, `${plural(left, "tensor")} more: --format json lists all.`) : null]));
}

function inputHead(row, detail) {
  return [
    row.error ? el("p", {class: "callout error"}, badge("unreadable"), " ", row.error) : null,
    facts([
      ["format", row.format], ["resolved to", row.resolved && code(row.resolved)],
      ["read", detail && detail.read_all !== undefined && row.format
        ? (detail.read_all ? "all data" : "the index and the vectors of the batch norms") : null],
      ["compared with", detail && detail.compared_with && code(detail.compared_with)],
    ]),
    row.notes.length === 0 ? null : el("ul", {class: "soft"}, row.notes.map(note => el("li", {}, note))),
  ];
}

// All of one input but its heading.
function inputBody({row, detail}, place, rules) {
  if (detail === null)
    return [inputHead(row, null), el("p", {class: "callout warning"}, "There was no room for this file's details on a page with so many. A report of it alone has them.")];
  const byLayer = findingsByLayer(detail.findings || []);
  const items = detail.layers.map(layer => layerItem(layer, place, detail, byLayer));
  const left = (row.norms || 0) - items.length;
  return [
    inputHead(row, detail),
    detail.findings ? findingsSection(detail, place, rules) : null,
    detail.known_count > 0 ? section("Known by the baseline", folding({}, plural(detail.known_count, "finding"), () =>
      longTable("Findings that the baseline knows", ["rule", "where", "reason"], detail.known.map(([rule, subject, reason]) =>
        () => [[el("span", {class: "rule"}, rule), " ", (rules[rule] || {}).name], code(subject), reason])))) : null,
    items.length === 0 ? null : section("Batch norms", gainsFigure(detail, place, byLayer),
      layerList(items, {flag: "with an error or a warning",
        orders: {"largest gain first": item => item.gain, "initial values weigh most": item => item.initial,
                 "most channels": item => item.channels}}),
      left > 0 ? el("p", {class: "soft"}, `${plural(left, "batch norm")} more: --format json lists all.`) : null),
    detail.drift ? driftSection(detail.drift) : null,
    detail.tensors ? tensorsSection(detail, row) : null,
  ];
}

function inputTiles(row) {
  const tiles = [];
  if (row.findings) {
    const [errors, warnings, notes] = row.findings;
    tiles.push(tile(errors, errors === 1 ? "error" : "errors", errors ? "error" : ""),
      tile(warnings, warnings === 1 ? "warning" : "warnings", warnings ? "warning" : ""),
      tile(notes, notes === 1 ? "note" : "notes"));
  }
  if (row.format) {
    tiles.push(tile(grouped(row.norms), row.norms === 1 ? "batch norm" : "batch norms"),
      tile(grouped(row.tensor_count), row.tensor_count === 1 ? "tensor" : "tensors"));
  }
  return tiles;
}

function overview(data) {
  const audit = data.command === "audit";
  const states = [...new Set(data.inputs.map(({row}) => row.state))];
  const box = el("div");
  const shownStates = new Set(states);
  const show = () => {
    const rows = data.inputs.map((input, place) => [input.row, place]).filter(([row]) => shownStates.has(row.state));
    const heads = ["file", "state", ...(audit ? ["errors", "warnings", "notes"] : []), "batch norms", "format"];
    box.replaceChildren(longTable("Files", heads, rows.map(([row, place]) => () => [
      el("a", {href: `#input-${place}`}, row.path), badge(row.state),
      ...(audit ? row.findings.map(grouped) : []), row.format ? grouped(row.norms) : "–", row.format || "–"]),
      {numbers: audit ? [2, 3, 4, 5] : [2], first: 200, class: "files"}));
  };
  show();
  const choices = states.length < 2 ? null : el("fieldset", {class: "tools"}, el("legend", {}, "Show"),
    states.map(state => el("label", {}, el("input", {type: "checkbox", checked: true, onchange: event => {
      if (event.target.checked) shownStates.add(state); else shownStates.delete(state);
      show();
    }}), ` ${state} (${data.inputs.filter(({row}) => row.state === state).length})`)));
  return section("Files", choices, box,
    data.inputs_left_out > 0 ? el("p", {class: "callout warning"},
      `${plural(data.inputs_left_out, "file")} more had no room on this page: --format json lists all.`) : null);
}

// Of all inputs: the gravest state, and how many have more than notes.
function stateBadge([clean, warnings, errors, unreadable]) {
  const bad = warnings + errors + unreadable, all = clean + bad;
  if (bad === 0) return badge("clean", all > 1 ? "all clean" : "clean");
  const [state, words] = errors ? ["errors", "has errors"] : unreadable ? ["unreadable", "unreadable"] : ["warnings", "has warnings"];
  return badge(state, all > 1 ? `${grouped(bad)} of ${grouped(all)} not clean` : words);
}

function inputsPage(data) {
  const rules = data.rules || {};
  const many = data.inputs.length !== 1 || data.inputs_left_out > 0;
  const nodes = many
    ? [overview(data), section("Each file", data.inputs.map((input, place) => folding({class: "input", id: `input-${place}`},
        [el("span", {class: "path"}, input.row.path), " ", badge(input.row.state)],
        () => inputBody(input, place, rules))))]
    : inputBody(data.inputs[0], 0, rules);
  const list = data.not_read.list;
  if (data.remarks && data.remarks.length > 0)
    nodes.unshift(el("ul", {class: "remarks"}, data.remarks.map(text => el("li", {}, text))));
  if (data.not_read.count > 0) {
    nodes.push(section("Not read", folding({}, plural(data.not_read.count, "file"), () =>
      table("Files that were not read", ["file", "reason"], list.map(([path, why]) => [code(path), why])))));
  }
  const [clean, warnings, errors, unreadable] = data.states || [];
  const tiles = !many ? inputTiles(data.inputs[0].row) : [
    tile(data.inputs.length + data.inputs_left_out, "files"), ...(data.states ? [
      tile(errors, "with errors", errors ? "error" : ""), tile(unreadable, "unreadable", unreadable ? "error" : ""),
      tile(warnings, "with warnings", warnings ? "warning" : ""), tile(clean, "clean", clean ? "ok" : "")] : [])];
  return {title: many ? plural(data.inputs.length + data.inputs_left_out, "file") : data.inputs[0].row.path,
    verdict: data.states ? stateBadge(data.states) : null, tiles, nodes};
}
