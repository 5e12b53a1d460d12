// Batch norms: a line with small histograms for each, drawn when it comes into view, and all
// numbers when it is opened.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    entry.target.fill();
  }
}, {rootMargin: "400px"});

function spark([name, make]) {
  const cell = el("span", {class: "cell"}, el("span", {class: "name", "aria-hidden": "true"}, name));
  cell.fill = () => cell.append(make());
  seen.observe(cell);
  return cell;
}

// `ofs`: [before, after] or [alone] by the name of a vector.
const sparks = ofs => VECTORS.map(([key, name]) =>
  spark([name, () => histogram(name, ofs.map(of => of && of[key]), 108, 30, false)]));

function statistics(ofs, names) {
  const keys = [...VECTORS.slice(0, 3), ["beta", "beta"], VECTORS[3]];
  const rows = [];
  for (const [key, name] of keys) {
    ofs.forEach((of, i) => {
      const one = of && of[key];
      if (!one) return;
      const q = one.q || [null, null, null, null, null];
      rows.push([names[i] ? `${name}, ${names[i]}` : name, ...q.map(number), number(one.mean),
                 number(one.sd), one.bad ? String(one.bad) : "0"]);
    });
  }
  if (rows.length === 0) return el("p", {class: "soft"}, "No values were read.");
  return table("Values over the channels",
    ["", "least", "5 %", "median", "95 %", "most", "mean", "deviation", "not finite"], rows,
    {numbers: [1, 2, 3, 4, 5, 6, 7, 8]});
}

function largeOnes(ofs) {
  const all = [...VECTORS.slice(0, 3), ["beta", "beta"], VECTORS[3]];
  return el("div", {class: "large"}, all.filter(([key]) => ofs.some(of => of && of[key])).map(([key, name]) =>
    el("div", {}, el("p", {class: "name"}, name), histogram(name, ofs.map(of => of && of[key]), 200, 90, true))));
}

const legend = (before, after) => el("p", {class: "legend"},
  el("span", {class: "key before", "aria-hidden": "true"}), ` ${before} (filled)  `,
  el("span", {class: "key after", "aria-hidden": "true"}), ` ${after} (outline)`);

// Items: {id, scope, note, badges, ofs or cells ([[name, make]]), body, order: {name: number}, flagged}.
function layerList(items, options) {
  const list = el("ol", {class: "layers"});
  const count = el("p", {class: "soft", role: "status"});
  const rows = items.map(item => {
    const details = folding({id: item.id},
      el("span", {class: "row"},
        el("span", {class: "scope"}, el("span", {class: "path"}, item.scope),
          el("span", {class: "note"}, item.note, " ", item.badges)),
        item.cells ? item.cells.map(spark) : sparks(item.ofs)),
      item.body);
    return {item, node: el("li", {}, details)};
  });
  const words = el("input", {type: "search", placeholder: "part of a name", autocomplete: "off"});
  const orders = ["order of the model", ...Object.keys(options.orders || {})];
  const order = el("select", {}, orders.map(name => el("option", {}, name)));
  const only = el("input", {type: "checkbox"});
  const flagged = items.filter(item => item.flagged).length;
  const show = () => {
    const text = words.value.toLowerCase();
    let shown = rows.filter(({item}) =>
      item.scope.toLowerCase().includes(text) && (!only.checked || item.flagged));
    const value = (options.orders || {})[order.value];
    if (value) {
      const of = row => { const one = real(value(row.item)); return finite(one) || one === Infinity ? one : -Infinity; };
      shown = shown.slice().sort((a, b) => of(b) - of(a) || 0);
    }
    list.replaceChildren(...shown.map(row => row.node));
    count.textContent = `${grouped(shown.length)} of ${plural(items.length, "batch norm")}`;
  };
  words.addEventListener("input", show);
  order.addEventListener("change", show);
  only.addEventListener("change", show);
  show();
  return [
    items.length > 8 || flagged > 0 ? el("form", {class: "tools", onsubmit: event => event.preventDefault()},
      el("label", {}, "Find ", words), orders.length > 1 ? el("label", {}, "Order ", order) : null,
      flagged > 0 && flagged < items.length ? el("label", {}, only, ` ${options.flag} (${flagged})`) : null) : null,
    count,
    el("div", {class: "row heads", "aria-hidden": "true"}, el("span", {class: "scope"}, "batch norm"),
      (options.heads || VECTORS.map(([, name]) => name)).map(name => el("span", {class: "cell"}, name))),
    list,
  ];
}
