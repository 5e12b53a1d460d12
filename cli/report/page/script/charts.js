// Pictures, each an SVG with a title that says in words what it shows.
let pictures = 0;
function picture(width, height, title, attributes, ...children) {
  const id = `picture-${++pictures}`;
  return draw("svg", {viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
                      "aria-labelledby": id, ...attributes},
    draw("title", {id}, title), children);
}

const VECTORS = [
  ["mean", "mean"], ["log_variance", "log₁₀ variance"], ["gamma", "gamma"], ["gain", "gain"],
];

function inWords(of) {
  if (!of) return "not there";
  const bad = of.bad ? `, ${plural(of.bad, "channel")} not finite` : "";
  if (!of.n) return `no finite value${bad}`;
  const [least, , median, , most] = of.q;
  return (least === most ? `${number(least)} in every channel`
                         : `${number(least)} to ${number(most)}, median ${number(median)}`) + bad;
}

// The outline of a histogram in a box of this size.
function outline(of, width, height, peak) {
  const y = count => (height - (height - 1) * count / peak).toFixed(1);
  if (of.h.length === 1) {  // all values are equal: a bar where they lie
    const span = of.to - of.from, at = span > 0 ? width * (of.q[2] - of.from) / span : width / 2;
    const left = Math.min(Math.max(at - 2, 0), width - 4);
    return `M${left.toFixed(1)} ${height}V1h4V${height}Z`;
  }
  const step = width / of.h.length;
  return `M0 ${height}` +
    of.h.map((count, i) => `V${y(count)}H${((i + 1) * step).toFixed(1)}`).join("") + `V${height}Z`;
}

const scaleOf = ofs => {
  const range = ofs.find(of => of && of.n && of.to > of.from) || ofs.find(of => of && of.n);
  return range ? [range.from, range.to] : null;
};

// One or two histograms over one range; the second is the later one.
function histogram(name, ofs, width, height, large) {
  const labels = ofs.length > 1 ? ["before", "after"] : [""];
  const title = `${name}: ` +
    ofs.map((of, i) => `${labels[i] ? labels[i] + " " : ""}${inWords(of)}`).join("; ");
  const scale = scaleOf(ofs), foot = large ? 16 : 0, base = height - foot;
  const parts = [draw("path", {class: "axis", d: `M0 ${base - 0.5}H${width}`})];
  const peak = Math.max(...ofs.flatMap(of => of && of.h ? of.h : [0]));
  if (scale && peak > 0) {
    ofs.forEach((of, i) => {
      if (!of || !of.h || !of.n) return;
      const kind = ofs.length > 1 ? ["before", "after"][i] : "alone";
      parts.push(draw("path", {class: `bars ${kind}`, d: outline(of, width, base, peak)}));
    });
    if (scale[0] < 0 && scale[1] > 0) {
      const x = (-scale[0] / (scale[1] - scale[0]) * width).toFixed(1);
      parts.push(draw("path", {class: "zero", d: `M${x} 0V${base}`}));
    }
  } else {
    parts.push(draw("text", {class: "none", x: width / 2, y: base / 2 + 4, "text-anchor": "middle"},
                    ofs.some(of => of && of.bad) ? "not finite" : "–"));
  }
  if (large && scale) {
    parts.push(draw("text", {class: "tick", x: 0, y: height - 3}, number(scale[0])));
    parts.push(draw("text", {class: "tick", x: width, y: height - 3, "text-anchor": "end"},
                    number(scale[1])));
  }
  if (ofs.some(of => of && of.bad)) parts.push(draw("path", {class: "bad", d: `M${width - 7} 8l3.5 -7l3.5 7Z`}));
  return picture(width, height, title, {class: large ? "histogram" : "spark"}, parts);
}

// Points in the order of the model: {x, low, mid, high, tone, text, link}. A logarithmic axis.
function byDepth(width, options, points) {
  const height = options.height || 240, left = 52, right = 12, top = 12, bottom = 30;
  const values = points.flatMap(point => [point.low, point.mid, point.high, ...(options.lines || []).map(line => line.at)])
    .filter(value => finite(value) && value > 0).map(Math.log10);
  if (values.length === 0) values.push(0);
  let low = Math.floor(Math.min(...values) * 2 - 0.1) / 2, high = Math.ceil(Math.max(...values) * 2 + 0.1) / 2;
  low = Math.max(low, Math.min(options.floor, high - 1));
  if (points.some(point => point.dot === 0)) low -= 0.3;  // a line of their own
  const last = Math.max(points.length - 1, 1);
  const x = at => left + (points.length > 1 ? at / last : 0.5) * (width - left - right);
  const y = value => {
    const at = value > 0 ? (value === Infinity ? high : Math.log10(value)) : low;
    return top + (high - Math.min(Math.max(at, low), high)) / (high - low) * (height - top - bottom);
  };
  const parts = [];
  for (const mark of powerTicks(low, high)) {
    const at = y(mark).toFixed(1);
    parts.push(draw("path", {class: "grid", d: `M${left} ${at}H${width - right}`}));
    parts.push(draw("text", {class: "tick", x: left - 6, y: Number(at) + 4, "text-anchor": "end"}, number(mark)));
  }
  if (points.some(point => point.dot === 0)) {
    parts.push(draw("text", {class: "tick", x: left - 6, y: y(0) + 4, "text-anchor": "end"}, options.zero || "0"));
  }
  for (const line of options.lines || []) {
    parts.push(draw("path", {class: "bound", d: `M${left} ${y(line.at)}H${width - right}`}));
    parts.push(draw("text", {class: "tick strong", x: width - right, y: y(line.at) - 5, "text-anchor": "end"}, line.text));
  }
  const banded = points.filter(point => finite(point.low) && finite(point.high));
  if (banded.length > 1) {
    parts.push(draw("path", {class: "band", d:
      "M" + banded.map(point => `${x(point.x).toFixed(1)} ${y(point.high).toFixed(1)}`).join("L") + "L" +
      banded.slice().reverse().map(point => `${x(point.x).toFixed(1)} ${y(point.low).toFixed(1)}`).join("L") + "Z"}));
    parts.push(draw("path", {class: "line", d: "M" +
      banded.map(point => `${x(point.x).toFixed(1)} ${y(point.mid).toFixed(1)}`).join("L")}));
  }
  const size = points.length > 150 ? 2 : 3.2;
  for (const point of points) {
    const at = real(point.dot);
    if (at === undefined || at === null || Number.isNaN(at)) continue;
    const tone = point.tone || "plain", cx = x(point.x), cy = y(at);
    const shape = tone === "error" || tone === "warning"
      ? draw("path", {class: `dot ${tone}`, d: tone === "error"
          ? `M${cx - 5} ${cy + 4}h10l-5 -9Z` : `M${cx} ${cy - 5}l5 5l-5 5l-5 -5Z`}, draw("title", {}, point.text))
      : draw("circle", {class: `dot ${at === 0 ? "nought" : tone}`, cx: cx.toFixed(1), cy: cy.toFixed(1), r: size}, draw("title", {}, point.text));
    parts.push(point.link ? draw("a", {href: point.link, tabindex: "-1"}, shape) : shape);
  }
  parts.push(draw("text", {class: "tick", x: left, y: height - 8}, options.from || "input"));
  parts.push(draw("text", {class: "tick", x: width - right, y: height - 8, "text-anchor": "end"}, options.to || "output"));
  parts.push(draw("text", {class: "tick", x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle"}, options.axis || "depth →"));
  return picture(width, height, options.title, {class: "depth"}, parts);
}

// Draws again when the width of the page changes: text keeps its size.
function figure(title, explanation, make) {
  const box = el("div", {class: "drawing"});
  const node = el("figure", {}, el("figcaption", {}, el("h3", {}, title), el("p", {}, explanation)), box);
  let drawn = 0;
  const redraw = () => {
    const width = Math.floor(box.clientWidth);
    if (width < 50 || Math.abs(width - drawn) < 8) return;
    drawn = width;
    box.replaceChildren(make(Math.max(width, 240)));
  };
  new ResizeObserver(redraw).observe(box);
  return node;
}
