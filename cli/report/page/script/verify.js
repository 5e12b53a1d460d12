// Two files run side by side.
const ratioText = step => step[2] === 0 ? "the same values" : `${number(step[2])} of ${step[3] === 5 ? "5 times the bound" : "the bound"}`;

function stepsFigure(run) {
  const points = run.steps.map((step, x) => ({x, dot: step[2] === 0 ? 0 : real(step[2]), tone: step[3] === 5 ? "after" : "plain",
    text: `${step[0]} (${step[1]}): ${ratioText(step)}`}));
  if (run.beyond) points.push({x: points.length, dot: real(run.beyond.ratio), tone: "error",
    text: `${run.beyond.layer} (${run.beyond.operation}): ${number(run.beyond.ratio)} times the bound`});
  if (points.length < 2) return null;
  return figure("Steps and their bound",
    "How far each step of B is from A's, as a share of what rounding may explain. At the lowest line: the same values. " +
    "Above the bound no rounding explains the difference." + (run.factor === 5 ? " Orange: held to the wider bound, of a fold in float32." : ""),
    width => byDepth(width, {title: `${points.length} steps by the ratio to their bound; ${run.beyond ? "one is beyond it" : "none is beyond it"}`,
      lines: [{at: 1, text: "bound"}], floor: -6, zero: "same"}, points));
}

function stepCard(title, step) {
  return el("article", {class: "finding error"}, el("h3", {}, title),
    el("p", {}, code(step.layer), ` of B (${step.operation}) beside `, code(step.layer_a), " of A"),
    facts([["channel", step.channel], ["place", step.place.length ? `[${step.place.join(", ")}]` : null], ["value in A", number(step.value_a)],
      ["value in B", number(step.value_b)], ["bound", number(step.bound)], ["times the bound", number(step.ratio)]]));
}

function runNodes(run) {
  const both = (a, b) => a === b || !b ? code(a) : [code(a), " = ", code(b)];
  return [
    run.reason ? el("p", {class: `callout ${run.verdict === "different" ? "error" : "warning"}`}, run.reason) : null,
    run.beyond ? stepCard("First step beyond its bound", run.beyond) : null,
    section("Inputs and outputs",
      run.inputs.length === 0 ? null : table("Inputs", ["input", "shape", "values"], run.inputs.map(input =>
        [both(input.name, input.name_b), input.shape.join(" × "), (input.drawn ? "drawn" : "as given") + (input.permuted ? ", axes in another order in B" : "")])),
      run.outputs.length === 0 ? null : table("Outputs", ["output", "largest difference", "A's own rounding in float32", "largest value"], run.outputs.map(output =>
        [both(output.name, output.name_b), number(output.max_abs), number(output.noise), number(output.size)]), {numbers: [1, 2, 3]}),
      run.channels > 0 ? el("p", {class: "soft"}, `${grouped(run.silent)} of ${plural(run.channels, "channel")} behind rectifiers were never active.`) : null),
    run.steps.length === 0 ? null : section("Steps", stepsFigure(run),
      folding({}, plural(run.compared, "step"), () => [
        longTable("Steps", ["step of B", "operation", "of its bound", "step of A"], run.steps.map(step => () =>
          [code(step[0]), step[1], ratioText(step), step[4] ? code(step[4]) : "the same name"]), {numbers: [2]}),
        run.compared > run.steps.length ? el("p", {class: "soft"}, `${plural(run.compared - run.steps.length, "step")} more are not listed.`) : null])),
    run.unknown.length === 0 ? null : section("Not understood", table("What is not understood", ["layer", "side", "operation", "why"],
      run.unknown.map(([side, layer, what, why]) => [code(layer), side, what, why]))),
  ];
}

function opinionSection(opinion) {
  return section(`By ${opinion.framework}`, opinion.sides.map(side => side.not_run
    ? el("p", {}, `It did not run ${side.side}: ${side.not_run}`)
    : table(`${opinion.framework} ${side.version} on ${side.side}`, ["output", "from ours", "rounding explains", ""], side.outputs.map(output =>
        [code(output.name), number(output.max_abs), number(output.allowed), output.agrees === null ? "nothing to hold it against" : output.agrees ? badge("ok", "agrees") : badge("error", "does not agree")]),
        {numbers: [1, 2], caption: true})));
}

function verifyPage(data) {
  const {a, b, error, run, opinion} = data.detail;
  const title = `${baseName(a)} and ${baseName(b)}`;
  if (!run) return {title, verdict: badge("unreadable", "not run"), tiles: [], nodes: [el("p", {class: "callout error"}, error)]};
  const within = run.steps.filter(step => step[2] === 0).length;
  return {title, verdict: badge(run.verdict),
    tiles: [tile(grouped(run.compared), "steps compared"), tile(grouped(within), "with the same values"),
      run.worst ? tile(number(run.worst.ratio), "of its bound, the worst step") : null,
      tile(run.outputs.length ? number(run.outputs.reduce((most, one) => Math.max(most, real(one.max_abs)), 0)) : "–", "largest difference of an output")],
    nodes: [facts([["A", code(a)], ["B", code(b)]]), runNodes(run), opinion ? opinionSection(opinion) : null]};
}
