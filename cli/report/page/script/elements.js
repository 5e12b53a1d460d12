"use strict";
// Elements are made one by one: no text ever becomes markup.
const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(9)) {
    if (child !== null && child !== undefined && child !== false && child !== "") node.append(child);
  }
  return node;
}
const el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

const hidden = text => el("span", {class: "hidden"}, text);
const code = text => el("code", {}, text);
const plural = (count, one, many) => `${grouped(count)} ${count === 1 ? one : many || one + "s"}`;
const grouped = count => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

// Severity, state or verdict: a word with a mark of its own shape, never a colour alone.
const MARKS = {error: "▲", warning: "◆", info: "●", ok: "✓"};
const KINDS = {
  error: "error", errors: "error", different: "error", unreadable: "error",
  warning: "warning", warnings: "warning", "cannot tell": "warning",
  "never-updated": "error", "non-finite": "error", stopped: "warning", reset: "warning", "frozen-drift": "warning",
  "cannot-tell": "info", moving: "ok",
  info: "info", clean: "ok", ok: "ok", same: "ok", "same up to rounding": "ok",
};
function badge(kind, text) {
  const tone = KINDS[kind] || "info";
  return el("span", {class: `badge ${tone}`}, el("span", {"aria-hidden": "true"}, MARKS[tone]),
            " ", text || kind);
}

// A table with a header for each column; the first cell of a row is the row's header.
function table(caption, heads, rows, options = {}) {
  const numbers = new Set(options.numbers || []);
  const cell = (tag, content, i, scope) =>
    el(tag, {scope, class: numbers.has(i) ? "number" : null}, content);
  return el("div", {class: "scroller", tabindex: "0", role: "region", "aria-label": caption},
    el("table", {class: options.class},
      el("caption", {class: options.caption ? null : "hidden"}, caption),
      el("thead", {}, el("tr", {}, heads.map((head, i) => cell("th", head, i, "col")))),
      el("tbody", {}, rows.map(row => el("tr", {}, row.map((content, i) =>
        i === 0 ? cell("th", content, i, "row") : cell("td", content, i)))))));
}

// A long table of which a part is shown at first.
function longTable(caption, heads, rows, options = {}) {
  const first = options.first || 50;
  if (rows.length <= first) return table(caption, heads, rows.map(make => make()), options);
  const box = el("div");
  const show = count => {
    box.replaceChildren(
      table(caption, heads, rows.slice(0, count).map(make => make()), options),
      count < rows.length
        ? el("button", {type: "button", onclick: () => show(Math.min(rows.length, count * 8))},
             `Show more: ${grouped(count)} of ${grouped(rows.length)} are listed`)
        : null);
  };
  show(first);
  return box;
}

const facts = pairs => el("dl", {class: "facts"}, pairs.filter(([, value]) =>
  value !== null && value !== undefined && value !== "").map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value))));

const section = (title, ...children) =>
  el("section", {}, el("h2", {}, title), children);

const tile = (number, text, tone) =>
  el("li", {class: `tile ${tone || ""}`}, el("strong", {}, number), " ", el("span", {}, text));

// `make` fills a part of the page when it is opened for the first time.
function folding(attributes, summary, make) {
  const details = el("details", attributes, el("summary", {}, summary));
  details.fill = () => {
    if (details.filled) return;
    details.filled = true;
    details.append(el("div", {class: "body"}, make()));
  };
  details.addEventListener("toggle", () => details.open && details.fill());
  return details;
}
