// Two checkpoints side by side.
const ROLES = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "other"];
const ROLE_NAMES = {moving_mean: "mean", moving_variance: "variance"};

// How a tensor changed, as a number between nothing and all.
const MEASURES = {
  "size of the change, ‖b − a‖ / ‖a‖": tensor => real(tensor.norm),
  "largest difference": tensor => real(tensor.max_abs),
  "largest relative difference": tensor => real(tensor.max_rel),
  "share of values that differ": tensor => tensor.elements > 0 ? tensor.differing / tensor.elements : 0,
  "turned (1 − cosine)": tensor => finite(tensor.cosine) ? Math.max(0, 1 - tensor.cosine) : undefined,
};

const layerNameOf = name => {
  const at = Math.max(name.lastIndexOf("/"), name.lastIndexOf("."));
  return at > 0 ? name.slice(0, at) : name;
};

// Tensors by layer and kind; the order is that of the names.
function cellsOf(tensors) {
  const layers = new Map();
  for (const tensor of tensors) {
    const layer = layerNameOf(tensor.name), role = ROLES.includes(tensor.role) ? tensor.role : "other";
    if (!layers.has(layer)) layers.set(layer, new Map());
    const cells = layers.get(layer);
    if (!cells.has(role)) cells.set(role, []);
    cells.get(role).push(tensor);
  }
  return layers;
}

const STATUS_MARKS = {added: "+", removed: "−", reshaped: "shape", retyped: "type"};

function heatCell(tensors, measure, levelOf) {
  if (!tensors) return el("td", {class: "empty"}, hidden("none differs"));
  const marked = tensors.find(tensor => tensor.status === "added" || tensor.status === "removed" || tensor.status === "reshaped");
  if (marked) return el("td", {class: "gone"}, el("span", {title: `${marked.name}: ${marked.status}`}, STATUS_MARKS[marked.status], hidden(` ${marked.status}`)));
  if (tensors.some(tensor => tensor.non_finite)) return el("td", {class: "bad"}, el("span", {title: `${tensors[0].name}: values are not finite`}, "▲", hidden(" values are not finite")));
  const values = tensors.map(measure).filter(value => value !== undefined && !Number.isNaN(value));
  if (values.length === 0) return el("td", {class: "gone"}, el("span", {title: `${tensors[0].name}: ${tensors[0].status}`}, "?", hidden(" changed, by an unread amount")));
  const most = Math.max(...values);
  return el("td", {class: `heat-${levelOf(most)}`}, el("span", {title: tensors.map(tensor => tensor.name).join(", ")}, number(most)));
}

function heatMap(tensors) {
  const layers = cellsOf(tensors);
  const roles = ROLES.filter(role => [...layers.values()].some(cells => cells.has(role)));
  const choice = el("select", {}, Object.keys(MEASURES).map(name => el("option", {}, name)));
  const box = el("div"), key = el("p", {class: "legend"});
  const show = limit => {
    const measure = MEASURES[choice.value];
    const values = tensors.map(measure).filter(value => finite(value) && value > 0).map(Math.log10);
    const high = values.length ? Math.max(...values) : 0, low = Math.max(values.length ? Math.min(...values) : 0, high - 6);
    const levelOf = value => !(value > 0) ? 0 : value === Infinity ? 8
      : 1 + Math.round(7 * Math.min(1, Math.max(0, high > low ? (Math.log10(value) - low) / (high - low) : 1)));
    key.replaceChildren("little ", ...[1, 3, 5, 7, 8].map(level => el("span", {class: `key heat-${level}`, "aria-hidden": "true"})),
      ` much: ${number(10 ** low)} to ${number(10 ** high)}, by powers; + and − are on one side only`);
    const rows = [...layers].slice(0, limit);
    box.replaceChildren(el("div", {class: "scroller", tabindex: "0", role: "region", "aria-label": "Change by layer and kind"},
      el("table", {class: "heat"}, el("caption", {class: "hidden"}, "Change by layer and kind"),
        el("thead", {}, el("tr", {}, el("th", {scope: "col"}, "layer"), roles.map(role => el("th", {scope: "col"}, ROLE_NAMES[role] || role)))),
        el("tbody", {}, rows.map(([layer, cells]) => el("tr", {}, el("th", {scope: "row"}, layer),
          roles.map(role => heatCell(cells.get(role), measure, levelOf))))))));
    if (layers.size > limit) box.append(el("button", {type: "button", onclick: () => show(layers.size)},
      `Show all ${plural(layers.size, "layer")}`));
  };
  choice.addEventListener("change", () => show(120));
  show(120);
  return [el("form", {class: "tools", onsubmit: event => event.preventDefault()}, el("label", {}, "Colour by ", choice)), key, box];
}

function normItem(norm, at) {
  const words = norm.only ? `in ${norm.only} only` : norm.equal ? "the same function" : norm.compared ? "another function" : "not compared";
  return {
    id: `norm-${at}`, scope: norm.scope, note: norm.scope_b ? `${norm.scope_b} in B` : "", ofs: [norm.a, norm.b],
    badges: norm.equal ? badge("ok", words) : norm.only || !norm.compared ? badge("info", words) : badge("warning", words),
    flagged: !norm.equal, scale: norm.scale, shift: norm.shift,
    body: () => [norm.note ? el("p", {}, norm.note) : null,
      norm.compared && !norm.only ? facts([["largest change of the scale", number(norm.scale)], ["largest change of the shift", number(norm.shift)]]) : null,
      legend("A", "B"), largeOnes([norm.a, norm.b]), statistics([norm.a, norm.b], ["A", "B"])],
  };
}

function changeFigure(norms) {
  const points = norms.filter(norm => norm.compared && !norm.only).map((norm, x) => ({x, dot: real(norm.scale),
    tone: norm.equal ? "plain" : "after", link: `#norm-${norms.indexOf(norm)}`, text: `${norm.scope}: scale moved by ${number(norm.scale)}, shift by ${number(norm.shift)}`}));
  if (points.filter(point => point.dot > 0).length < 2) return null;
  return figure("Change by depth", "The largest change of a channel's scale, gamma / √(variance + epsilon), in each batch norm.",
    width => byDepth(width, {title: `Change of the scale of ${points.length} batch norms by depth`, floor: -9}, points));
}

function tensorRow(tensor) {
  const details = tensor.status === "retyped" ? tensor.types.join(" → ") : tensor.status === "reshaped" ? tensor.shapes.join(" → ") : tensor.note || "";
  return () => [[code(tensor.name), tensor.name_b ? [" → ", code(tensor.name_b)] : null], tensor.role.replaceAll("_", " "),
    tensor.status, number(tensor.max_abs), number(tensor.max_rel),
    tensor.elements === undefined ? "–" : `${grouped(tensor.differing)} of ${grouped(tensor.elements)}`,
    number(tensor.cosine), details];
}

function diffPage(data) {
  const detail = data.detail;
  const title = `${baseName(detail.a)} and ${baseName(detail.b)}`;
  if (detail.error) return {title, verdict: badge("unreadable", "not compared"), tiles: [], nodes: [el("p", {class: "callout error"}, detail.error)]};
  const {counts} = detail;
  const verdict = detail.identical === "yes" ? badge("ok", "identical") : detail.within ? badge("ok", "the same, within the tolerance") : badge("warning", "different");
  const changed = counts.changed + counts.added + counts.removed + counts.retyped + counts.reshaped;
  const left = changed - detail.tensors.length, normsLeft = detail.norm_count - detail.norms.length;
  const nodes = [
    facts([["A", code(detail.a)], ["B", code(detail.b)], ["paired by", detail.mapping],
      ["largest change in weights", number(detail.weights_max)], ["in moving statistics", number(detail.statistics_max)],
      ["values", detail.identical === "unread" ? "equal by stored checksums; not all data was read" : null]]),
    detail.signatures.length === 0 ? null : section("What happened", el("ul", {}, detail.signatures.map(text => el("li", {}, text)))),
    detail.tensors.length === 0 ? null : section("Change by layer and kind", heatMap(detail.tensors)),
    detail.norms.length === 0 ? null : section("Batch norms: before and after", changeFigure(detail.norms), legend("A", "B"),
      layerList(detail.norms.map(normItem), {flag: "not the same function",
        orders: {"largest change of the scale": item => item.scale, "largest change of the shift": item => item.shift}}),
      normsLeft > 0 ? el("p", {class: "soft"}, `${plural(normsLeft, "batch norm")} more: --format json lists all.`) : null),
    detail.tensors.length === 0 ? null : section("Tensors that differ", folding({}, plural(detail.tensors.length, "tensor"), () => longTable("Tensors that differ",
      ["tensor", "role", "status", "max abs", "max rel", "differ", "cosine", ""], detail.tensors.map(tensorRow), {numbers: [3, 4, 5, 6]})),
      left > 0 ? el("p", {class: "soft"}, `${plural(left, "tensor")} more, with smaller differences: --format json lists all.`) : null),
  ];
  const tiles = [tile(grouped(counts.equal), "equal", "ok"), ...["changed", "added", "removed", "retyped", "reshaped"].filter(kind => counts[kind] > 0 || kind === "changed")
    .map(kind => tile(grouped(counts[kind]), kind, counts[kind] ? "warning" : ""))];
  return {title, verdict, tiles, nodes};
}
