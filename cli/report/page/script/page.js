// Puts the page together, and opens what its address points at.
const PAGES = {inspect: inputsPage, audit: inputsPage, diff: diffPage, verify: verifyPage, convert: conversionPage, calibrate: conversionPage, trend: trendPage};

// The part may lie in a part that was not opened yet.
function open(id) {
  const outer = /^input-\d+/.exec(id);
  for (const one of outer ? [outer[0], /finding/.test(id) ? `${outer[0]}-notes` : null, id] : [id]) {
    const node = one && document.getElementById(one);
    if (node instanceof HTMLDetailsElement) {
      if (one !== `${outer}-notes` || !document.getElementById(id)) {
        node.fill();
        node.open = true;
      }
    }
  }
  const target = document.getElementById(id);
  if (!target) return;
  target.scrollIntoView({block: "start"});
  (target.querySelector(":scope > summary") || target).focus({preventScroll: true});
}

function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("report");
  const page = data.detail === null
    ? {title: "", verdict: null, tiles: [], nodes: [el("p", {}, "The report had no room on a page: --format json has it.")]}
    : PAGES[data.command](data);
  document.getElementById("head").append(
    el("p", {class: "command"}, `ckpt ${data.command}`, " ", page.verdict),
    el("h1", {}, page.title),
    page.tiles.length ? el("ul", {class: "tiles"}, page.tiles.filter(one => one)) : "");
  filled(main, {}, page.nodes);
  const follow = () => location.hash.length > 1 && open(decodeURIComponent(location.hash.slice(1)));
  addEventListener("hashchange", follow);
  follow();
}
start();
