// Conversions and calibrations.
function calibrationNodes(calibration) {
  const layers = calibration.layers;
  const points = layers.map((layer, x) => ({x, dot: real(layer.shift), tone: "after", link: `#layer-${x}`,
    text: `${layer.scope}: means moved by ${number(layer.shift)} deviations at most`}));
  const items = layers.map((layer, at) => ({
    id: `layer-${at}`, scope: layer.scope, note: `${plural(layer.elements, "element")} a channel`, badges: null,
    ofs: [layer.a, layer.b], shift: layer.shift,
    body: () => [facts([["variance", layer.variance], ["means moved by", `${number(layer.shift)} deviations at most`]]),
      legend("before", "after"), largeOnes([layer.a, layer.b]), statistics([layer.a, layer.b], ["before", "after"])],
  }));
  const left = calibration.count - layers.length;
  return [
    calibration.few ? el("p", {class: "callout warning"}, badge("warning"), ` ${plural(calibration.examples, "example")} are few: a mean is uncertain by up to 1/√${calibration.examples} deviations.`) : null,
    calibration.inputs.length === 0 ? null : section("Data", el("p", {}, plural(calibration.examples, "example")), rangesTable(calibration.inputs)),
    layers.length === 0 ? null : section("Batch norms: before and after",
      points.length < 2 ? null : figure("How far the means moved, by depth", "In deviations of the new statistics; the channel that moved most.",
        width => byDepth(width, {title: `How far the means of ${points.length} batch norms moved`, floor: -6}, points)),
      legend("before", "after"), layerList(items, {orders: {"means moved most": item => item.shift}}),
      left > 0 ? el("p", {class: "soft"}, `${plural(left, "batch norm")} more: --format json lists all.`) : null),
  ];
}

function planNodes(plan) {
  const {counts} = plan;
  const cut = (list, all) => all > list.length ? el("p", {class: "soft"}, `${grouped(all - list.length)} more: --format json lists all.`) : null;
  const reasons = (title, list, all) => list.length === 0 ? null : section(title,
    longTable(title, ["name", "reason"], list.map(([name, reason]) => () => [code(name), reason])), cut(list, all));
  const dropped = new Map();
  for (const [name, reason] of plan.dropped) dropped.set(reason, [...(dropped.get(reason) || []), name]);
  return [
    plan.folded.length === 0 ? null : section("Folded", longTable("Folded batch norms", ["batch norm", "into", "direction", "epsilon", "error for |x| <= 1"],
      plan.folded.map(fold => () => [code(fold.scope), fold.into.map((name, i) => [i ? ", " : "", code(name)]), fold.direction,
        `${exact(fold.epsilon)} (${fold.source})`, number(fold.bound)]), {numbers: [4]}), cut(plan.folded, counts.folded)),
    reasons("Kept as they are", plan.kept, counts.kept),
    reasons("Changed", plan.changed, counts.changed),
    dropped.size === 0 ? null : section("Dropped", [...dropped].map(([reason, names]) => folding({}, `${plural(names.length, "tensor")}: ${reason}`,
      () => el("ul", {}, names.slice(0, 500).map(name => el("li", {}, code(name)))))), cut(plan.dropped, counts.dropped)),
    plan.notes.length === 0 ? null : section("Notes", el("ul", {}, plan.notes.map(note => el("li", {}, note)))),
  ];
}

function conversionPage(data) {
  const detail = data.detail, plan = detail.plan, calibration = detail.calibration;
  const verdict = detail.error ? badge("error", "nothing was written") : badge("ok", detail.dry_run ? "dry run: nothing was written" : "written");
  const tiles = [];
  if (calibration) tiles.push(tile(grouped(calibration.count), "calibrated"), tile(grouped(calibration.examples), "examples"));
  if (plan && !calibration) tiles.push(tile(grouped(plan.counts.folded), "folded", plan.counts.folded ? "ok" : ""), tile(grouped(plan.counts.kept), "kept", plan.counts.kept ? "warning" : ""),
    tile(grouped(plan.counts.changed), "changed", plan.counts.changed ? "warning" : ""), tile(grouped(plan.counts.dropped), "dropped"));
  if (plan) tiles.push(tile(grouped(plan.tensors), "tensors in the output"));
  const audit = detail.audit && (detail.audit.errors || detail.audit.warnings
    ? `${plural(detail.audit.errors, "error")}, ${plural(detail.audit.warnings, "warning")} (${detail.audit.rules.join(", ")})` : "clean");
  return {title: `${baseName(detail.input)} → ${baseName(detail.output)}`, verdict, tiles, nodes: [
    detail.error ? el("p", {class: "callout error"}, badge("error"), " ", detail.error) : null,
    facts([["input", [code(detail.input), detail.from ? ` (${detail.from})` : ""]], ["output", [code(detail.output), detail.to ? ` (${detail.to})` : ""]],
      ["record", detail.written && code(detail.written.record)], ["written", detail.written && bytes(detail.written.bytes)],
      ["statistics from", calibration && calibration.from && code(calibration.from)], ["audit of the output", audit]]),
    detail.notes && detail.notes.length ? el("ul", {class: "soft"}, detail.notes.map(note => el("li", {}, note))) : null,
    calibration ? calibrationNodes(calibration) : null,
    plan ? planNodes(plan) : null,
    (detail.certificate || []).map(one => section(one.name ? `Verified: ${one.name}` : "Verified",
      one.run ? [el("p", {}, badge(one.run.verdict), ` ${plural(one.run.compared, "step")} compared`), stepsFigure(one.run)]
              : el("p", {}, `Not verified: ${one.not_verified}`))),
  ]};
}
