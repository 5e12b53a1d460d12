"""Pages of --report html:FILE in a real browser. CKPT_PICTURES=FOLDER keeps what they look like."""
import os
import time
from pathlib import Path

import pytest

from conftest import HOSTILE

EVERY = ["audit", "inspect", "many", "diff", "convert", "verify", "different", "calibrate", "large", "large_diff", "hostile",
         "hostile_diff", "run", "runs", "large_run", "hostile_run"]
OPEN_ALL = """(async () => {
  for (const one of document.querySelectorAll('details')) { one.fill && one.fill(); one.open = true; }
  for (const one of document.querySelectorAll('details')) { one.fill && one.fill(); one.open = true; }
  await new Promise(done => setTimeout(done, 400));
})()"""

# Text whose contrast with what lies behind it is below AA: [ratio, text].
CONTRASTS = r"""(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colour => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => { for (; node; node = node.parentElement) { const back = rgb(getComputedStyle(node).backgroundColor);
    if (back[3] === 255) return back; } return [255, 255, 255, 255]; };
  const low = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility() || node.closest('script, style, noscript, title, .hidden')) continue;
    const style = getComputedStyle(node);
    const [x, y] = [light(rgb(node instanceof SVGElement ? style.fill : style.color)), light(behind(node))];
    const ratio = (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) low.push([ratio, text.data.slice(0, 40), node.className]);
  }
  return low;
})()"""


def check_quiet(tab):
    """Nothing was asked for but the file, nothing complained, nothing was forbidden."""
    assert tab.complaints == []
    assert tab.js("violations") == []
    assert [url.split("#")[0] for url in tab.requests] == [tab.url]


def keep(tab, name):
    folder = os.environ.get("CKPT_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        time.sleep(0.3)
        tab.screenshot(Path(folder) / f"{name}.png", whole=False)


@pytest.mark.parametrize("name", EVERY)
def test_a_page_asks_for_nothing_and_complains_of_nothing_when_all_of_it_is_opened(show, name):
    tab = show(name, height=1400)
    keep(tab, name)
    if not name.startswith("large"):
        tab.js(OPEN_ALL)
    assert tab.js("document.querySelectorAll('main section').length") > 0
    assert "undefined" not in tab.js("document.body.innerText.replace(/what is undefined/g, '')")
    check_quiet(tab)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_wider_than_a_phone(show, name):
    tab = show(name, width=360, height=780)
    keep(tab, f"{name}_phone")
    if not name.startswith("large"):
        tab.js(OPEN_ALL)
    assert tab.js("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["audit", "many", "diff", "different", "calibrate", "run", "runs"])
def test_text_stands_out_in_light_and_in_dark(show, name, dark):
    tab = show(name, dark=dark, height=1400)
    keep(tab, f"{name}_{'dark' if dark else 'light'}")
    tab.js(OPEN_ALL)
    assert tab.js(CONTRASTS) == []
    back = tab.js("getComputedStyle(document.body).backgroundColor")
    red = int(back[4:].split(",")[0])
    assert (red < 60) == dark


def test_a_script_that_is_not_the_page_s_own_does_not_run(show):
    tab = show("audit")
    tab.js("""(() => { const one = document.createElement('script'); one.textContent = 'window.ran = true';
        document.body.append(one); const image = new Image(); image.src = 'http://127.0.0.1:1/x.png'; document.body.append(image);
        return new Promise(done => setTimeout(done, 300)); })()""")
    assert tab.js("window.ran") is None
    assert len(tab.js("violations")) == 2
    assert tab.blocked == ["csp"]


@pytest.mark.parametrize("name", ["hostile", "hostile_diff", "hostile_run"])
def test_hostile_names_stay_text(show, name):
    tab = show(name)
    tab.js(OPEN_ALL)
    assert tab.js("document.querySelectorAll('main img').length") == 0
    text = tab.js("document.body.textContent")
    assert "onerror=alert(1)" in text
    for dangerous in ("\u202e", "\u2028", "\x1b"):
        assert dangerous in HOSTILE and dangerous not in text
    check_quiet(tab)


def test_all_controls_are_reached_and_worked_with_the_keyboard(show):
    tab = show("many")
    reached = []
    for _ in range(60):
        tab.press("Tab", "Tab", 9)
        reached.append(tab.js("""(() => { const at = document.activeElement; const style = getComputedStyle(at);
            return [at.tagName, at.textContent.slice(0, 30), style.outlineStyle !== 'none']; })()"""))
        if reached[-1][0] == "BODY":
            break
    assert reached[0][1] == "Skip to the report"
    assert {"A", "INPUT", "SUMMARY"} <= {tag for tag, _, _ in reached}
    assert all(visible for tag, _, visible in reached if tag != "BODY"), reached
    # A file is opened with Enter on its row.
    tab.js("document.querySelector('table.files a').focus()")
    tab.press("Enter", "Enter", 13)
    time.sleep(0.3)
    assert tab.js("document.getElementById('input-0').open")
    assert tab.js("document.activeElement.tagName") == "SUMMARY"


def test_it_has_landmarks_headings_and_names_for_a_screen_reader(show):
    for name in ("audit", "diff", "verify", "runs"):
        tab = show(name)
        tab.js(OPEN_ALL)
        nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
        kept = [node for node in nodes if not node["ignored"]]
        roles = [node["role"]["value"] for node in kept]
        assert {"banner", "main", "contentinfo", "heading"} <= set(roles)
        levels = tab.js("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in zip(levels, levels[1:])), levels
        for node in kept:
            if node["role"]["value"] in ("image", "img", "button", "link", "combobox", "searchbox", "checkbox", "region", "table"):
                assert node["name"]["value"].strip(), node
        assert tab.js("[...document.querySelectorAll('table')].every(t => t.caption && t.querySelector('thead th[scope=col]'))")
        assert tab.js("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size === document.querySelectorAll('[id]').length")


def test_a_finding_leads_to_its_layer_and_back(show):
    tab = show("audit")
    tab.js("document.querySelector('.finding .links a').click()")
    time.sleep(0.3)
    assert tab.js("document.getElementById('input-0-layer-7').open")
    assert tab.js("document.querySelectorAll('#input-0-layer-7 svg.histogram').length") == 5
    tab.js("document.querySelector('#input-0-layer-7 .about a').click()")
    time.sleep(0.3)
    assert tab.js("document.activeElement.id") == "input-0-finding-0"


def test_an_address_with_a_layer_opens_it(show):
    tab = show("many", fragment="#input-4-layer-7")
    time.sleep(0.3)
    assert tab.js("document.getElementById('input-4').open && document.getElementById('input-4-layer-7').open")


def test_layers_are_found_by_name_and_ordered(show):
    tab = show("audit")
    tab.js("(() => { const box = document.querySelector('input[type=search]'); box.value = 'layer2.'; box.dispatchEvent(new Event('input')); })()")
    names = tab.js("[...document.querySelectorAll('.layers .path')].map(e => e.textContent)")
    assert names and all("layer2." in name for name in names)
    assert tab.js("document.querySelector('[role=status]').textContent") == f"{len(names)} of 40 batch norms"


def test_a_run_shows_where_it_stopped_and_leads_there(show):
    tab = show("run")
    assert tab.js("document.querySelector('#head .badge').textContent").endswith("stopped")
    tab.js("document.querySelector('.finding .links a').click()")
    time.sleep(0.4)
    assert tab.js("document.querySelectorAll('#input-0-layer-0 svg.series').length") == 6  # three small and three large
    words = tab.js("document.querySelector('#input-0-layer-0 .large svg.series title').textContent")
    assert words.startswith("mean shift: ") and words.endswith("stopped since 5"), words
    # The means move less and less, and from 5 on not at all: the line goes down.
    rows = tab.js("[...[...document.querySelectorAll('#input-0-layer-0 table')].pop().tBodies[0].rows].map(row => row.cells[1].textContent)")
    shifts = [float(value) for value in rows[1:]]  # behind the first checkpoint
    assert len(shifts) == 8 and shifts[:4] == sorted(shifts[:4], reverse=True) and shifts[4:] == [0, 0, 0, 0]
    moved = tab.js("[...document.querySelectorAll('#input-0-layer-0 .large svg.moves rect')].map(e => e.classList.contains('not') ? 0 : 1)")
    assert moved == [1, 1, 1, 1, 0, 0, 0, 0] + [1] * 8  # statistics, and weights below


def test_small_multiples_of_one_quantity_share_a_scale(show):
    """The layer whose mean moved most reaches highest, and one with half as much lies lower."""
    tab = show("runs", fragment="#input-0")
    time.sleep(0.5)
    tab.js(OPEN_ALL)
    # The small ones are drawn when they come into sight.
    tab.js("""(async () => {
        for (const row of document.querySelectorAll('#input-0 .layers > li')) {
            row.scrollIntoView();
            for (let i = 0; i < 50 && !row.querySelector('.row svg.series .line'); ++i) await new Promise(done => setTimeout(done, 20));
        } })()""")
    rows = tab.js("""[...document.querySelectorAll('#input-0 .layers > li')].map(row => {
        const top = path => Math.min(...path.getAttribute('d').match(/[ML][^ML]+/g).map(p => Number(p.split(' ')[1])));
        const first = row.querySelector('table tbody').rows[1].cells[1].textContent;
        return [top(row.querySelector('.row svg.series .line')), Number(first)]; })""")
    heights = [top for top, _ in sorted(rows, key=lambda row: -row[1])]
    assert len(rows) == 12 and heights == sorted(heights)


def test_runs_are_listed_with_their_verdicts(show):
    tab = show("runs")
    verdicts = tab.js("[...document.querySelectorAll('table.files tbody tr')].map(row => row.cells[1].textContent.trim())")
    assert [verdict.split()[-1] for verdict in verdicts] == ["moving", "stopped", "non-finite"]


@pytest.mark.parametrize("name", ["large", "large_diff", "large_run"])
def test_five_hundred_batch_norms_load_in_about_a_second_and_stay_small(show, pages, name):
    tab = show(name)
    seconds = tab.js("(() => { const [n] = performance.getEntriesByType('navigation'); return (n.loadEventEnd - n.startTime) / 1000; })()")
    size = pages[name].stat().st_size
    assert tab.js("document.querySelectorAll('.layers > li').length") == 500
    drawn = tab.js("document.querySelectorAll('.layers svg').length")
    nodes = tab.js("document.querySelectorAll('*').length")
    print(f"\n{name}: {size} bytes, loaded in {seconds:.2f} s, {nodes} elements, {drawn} small histograms drawn")
    assert size < 3_000_000
    assert seconds < 5  # on a busy machine; 0.3 s on one that is not
    assert drawn < 400  # the rest when they come into view
