"""Opens the pages of make_report in a headless Chromium and asserts what they show: the list "A browser test asserts" of the
report's design, as far as it concerns sentences.

Mutations these tests kill: a token written by innerHTML; `<` left in the data; a wrong hash in the policy; a shade step rounded
down; all-equal weights shaded on their own maximum; padding left out of the printed sum; a soft colour that is too pale; a table
wider than a phone; the list's selection not carried into the address; a second tab stop inside a group; formula cells left as
they are; a figure saved in the dark scheme; a hidden section that keeps its room.
"""
import csv
import io
import json
import xml.etree.ElementTree as xml

import pytest
from pages import assert_fits, assert_targets, data, saved

PAGES = ["usual", "no-attention", "heads", "looking-back", "one-seed", "padding", "flat", "hostile", "huge", "classes", "empty"]


def attention(item):
    return item["attention"][0]["weights"][0] if item["attention"] else None


def number(text):
    return float(text.replace("−", "-"))


@pytest.mark.parametrize("name", PAGES)
def test_silent_and_never_wider_than_the_window(visit, name):
    page = visit(name)
    assert_fits(page, name)


def test_one_file_and_nothing_outside(folder):
    for name in PAGES:
        text = (folder / f"{name}.html").read_text(encoding="utf-8", errors="surrogateescape")
        head = text[:text.index('<script type="application/json"')]
        assert "default-src 'none'" in head
        for outside in [" src=", "<link", "@import", "url(", "http-equiv=\"refresh"]:
            assert outside not in head, outside


@pytest.mark.parametrize("name", ["usual", "padding", "classes", "hostile"])
def test_every_token_has_the_shade_of_its_weight(visit, name):
    page = visit(name)
    for item in data(page)["items"]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        page.wait_for_function(f"document.querySelector('[aria-selected=true]')?.id === 's{item['id']}'")
        weights = attention(item)
        top = 1 if item["verdict"]["name"] == "all_equal" else max(w for w in weights if w is not None)
        tokens = page.eval_on_selector_all("#text .tok", "a => a.map(n => [+n.dataset.i, n.className, n.textContent])")
        assert [t[2] for t in tokens] == item["input"]
        for i, classes, _ in tokens:
            shades = [c for c in classes.split() if c[0] == "w" and c[1:].isdigit()]
            expected = [] if weights[i] is None else [f"w{int(10 * weights[i] / top + .5)}"]
            assert shades == expected, (item["id"], i)
            loo = item["attribution"]["leave_one_out"]
            thick = int(4 * abs(loo[i] or 0) / max(.1, max(abs(x or 0) for x in loo)) + .5)
            lines = [c for c in classes.split() if c in ("e1", "e2", "e3", "e4", "con")]
            assert lines == ([f"e{thick}"] + (["con"] if loo[i] < 0 else []) if thick else []), (item["id"], i)
            assert ("unk" in classes.split()) == (item["seen"][i] in ("unknown", "dropped"))


@pytest.mark.parametrize("name", ["usual", "padding", "one-seed", "classes"])
def test_printed_weights_add_up_to_one(visit, name):
    page = visit(name)
    for item in data(page)["items"]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        page.wait_for_function(f"document.querySelector('[aria-selected=true]')?.id === 's{item['id']}'")
        printed = page.eval_on_selector_all(".words tbody tr", "a => a.map(r => r.querySelector('td.num').childNodes[0].textContent)")
        assert abs(sum(number(t) for t in printed if t != "–") - 1) <= .01, (item["id"], printed)
    page.evaluate("location.hash = 's=6'")
    if name == "usual":
        page.click("#more")
        assert page.locator(".words tbody tr").count() == len(data(page)["items"][5]["input"])


CONTRAST = """() => {
  const parse = c => { const v = c.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
  const light = v => { const [r, g, b] = v.map(x => { x /= 255; return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let t; (t = walk.nextNode());) {
    const n = t.parentElement, s = getComputedStyle(n);
    if (!t.data.trim() || n.closest('script, style, noscript, .vh') || s.display === 'none' || !n.getClientRects().length) continue;
    let ground = null;
    for (let p = n; p && !ground; p = p.parentElement) { const c = parse(getComputedStyle(p).backgroundColor); if (c[3] > 0) ground = c; }
    const a = light(parse(s.color)), b = light(ground || [255, 255, 255]);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push([t.data.trim().slice(0, 30), +ratio.toFixed(2), s.color]);
  }
  return bad;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name,hash", [("usual", "#s=1"), ("usual", "#s=11"), ("usual", "#s=14"), ("usual", "#s=6"), ("padding", ""), ("no-attention", "")])
def test_contrast(visit, name, hash, scheme):
    page = visit(name, hash, scheme)
    assert page.evaluate(CONTRAST) == []


def selected(page):
    return page.evaluate("""() => ({ focus: document.activeElement.id, chosen: document.querySelector('[aria-selected=true]').id,
      panel: 's' + document.querySelector('#h-panel').textContent.match(/Sentence (\\d+)/)[1], address: 's' + new URLSearchParams(location.hash.slice(1)).get('s') })""")


def test_arrows_in_the_list_move_focus_selection_panel_and_address(visit):
    page = visit("usual")
    page.focus("[role=option][tabindex='0']")
    for key, expected in [("ArrowDown", "s2"), ("ArrowDown", "s3"), ("ArrowUp", "s2"), ("End", "s14"), ("ArrowDown", "s14"), ("Home", "s1")]:
        page.keyboard.press(key)
        if key == "ArrowDown" and expected == "s14":
            continue
        assert set(selected(page).values()) == {expected}, key
    page.click("#s5")
    assert selected(page)["panel"] == selected(page)["address"] == "s5"


def test_tab_reaches_every_control_once(visit):
    page = visit("usual", "#s=6")
    expected = page.evaluate("""() => { const groups = new Set(); return [...document.querySelectorAll('a[href], button, select, input, summary, [tabindex]')]
      .filter(n => n.tabIndex >= 0 && n.checkVisibility() && !(n.type === 'radio' && (!n.checked))).length; }""")
    page.evaluate("() => { window.seen = []; document.activeElement.blur(); document.addEventListener('focusin', e => seen.push(e.target)); }")
    for _ in range(expected + 3):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert page.evaluate("[seen.length, new Set(seen).size]") == [expected, expected]
    for group in ["#list", "#text"]:   # a group is one stop, however many it holds
        assert page.locator(f"{group} [tabindex='0']").count() == 1


def test_word_by_word_with_the_arrows_reads_word_and_weight(visit):
    page = visit("usual")
    item = data(page)["items"][0]
    assert page.inner_text("#readout").startswith("Point at a word") and page.locator("#panel .lit").count() == 0
    page.focus("#text .tok[tabindex='0']")
    for i, word in enumerate(item["input"]):
        said = page.inner_text("#readout")
        assert said.startswith(word + " –"), said
        assert f"attention {attention(item)[i]:.3f}".replace("0.", ".") in said
        assert page.locator("#panel tr.lit").count() == 1 and page.locator(".gloss .lit").count() == 1
        assert page.eval_on_selector("#readout", "n => n.scrollHeight <= n.clientHeight")
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.evaluate("document.activeElement.blur()")
    assert page.inner_text("#readout").startswith("The –")   # held
    page.keyboard.press("Escape")
    assert page.inner_text("#readout").startswith("Point at a word")
    assert page.inner_text(".gloss li:nth-child(5)").split() == ["good", ".83", "−.10"]
    assert page.inner_text(".gloss li.flip").split() == ["not", ".31", "✗", "flips"]
    page.hover(".words tbody tr:nth-child(4)")
    assert "without it P(negative) .310 (−.620), the answer becomes positive" in page.inner_text("#readout")


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_readout_holds_what_it_says(visit, width):
    for name in ["usual", "padding", "classes"]:
        page = visit(name, width=width)
        for item in data(page)["items"]:
            if len(item["input"]) > 40:
                continue
            page.evaluate(f"location.hash = 's={item['id']}'")
            page.wait_for_function(f"document.querySelector('[aria-selected=true]')?.id === 's{item['id']}'")
            over = page.evaluate("() => { const r = document.querySelector('#readout'); return at.input.map((w, i) => { mark(i); return r.scrollHeight - r.clientHeight; }).filter(x => x > 0); }")
            assert over == [], (name, item["id"], over)


@pytest.mark.parametrize("hash,lead", [
    ("#s=1", "Attention agrees weakly"), ("#s=2", "Attention agrees well"), ("#s=7", "Attention agrees in part"), ("#s=8", "One word: nothing to choose from"),
    ("#s=9", "Attention and effect on the answer disagree"), ("#s=10", "Too few words to compare"), ("#s=11", "Warning. All weights are nearly equal"),
    ("#s=12", "No single word changes the answer")])
def test_each_verdict_says_its_sentence(visit, hash, lead):
    page = visit("usual", hash)
    assert page.inner_text("#verdict .lead").startswith(lead)
    assert page.locator(".warn").count() == (1 if hash == "#s=11" else 0)
    assert page.locator("#verdict").evaluate("n => n.compareDocumentPosition(document.querySelector('.words')) & 4")   # before the bars


def test_the_states_say_what_is_missing(visit):
    page = visit("usual", "#s=8")
    assert "its weight is 1 by definition" in page.inner_text("#panel")
    assert "Deleting the only word leaves an empty sentence" in page.inner_text("#panel")
    page.evaluate("location.hash = 's=6'")
    page.wait_for_selector("#more")
    assert page.locator(".words tbody tr").count() == 17
    assert "129 quieter words together" in page.inner_text(".words") and "Show all 145 words" == page.inner_text("#more")
    page.evaluate("location.hash = 's=14'")
    page.wait_for_function("at.id === 14")
    assert "2 words not in the vocabulary, which the model never saw" in page.inner_text("#h-panel")
    page = visit("no-attention")
    assert page.inner_text("h1") == "What changed the model’s answer"
    assert "This model has no attention" in page.inner_text("#verdict") and "Train a recipe with attention" in page.inner_text("#panel")
    assert page.locator("#panel .words tbody tr:first-child td.num").first.inner_text() == "–"
    page = visit("one-seed")
    assert "Gradient × input is missing" in page.inner_text("#panel") and "The range over seeds is missing" in page.inner_text("#panel")
    assert page.eval_on_selector("#compare", "n => getComputedStyle(n).display") == "none" and page.locator(".sample").count() == 0
    assert page.evaluate("document.querySelector('#left').getBoundingClientRect().top - document.querySelector('header').getBoundingClientRect().bottom") < 40
    page = visit("padding")
    assert "23 % of the attention fell on padding" in page.inner_text("#h-panel") and "24 padded places together" in page.inner_text(".words")
    assert "2 words beyond the model’s length" in page.inner_text("#h-panel")
    page = visit("empty")
    assert "This file holds no sentences" in page.inner_text("#panel")


def test_a_model_that_chose_nothing_is_called_so(visit):
    page = visit("flat")
    assert page.inner_text("#warning .lead") == "Warning. In 2 of 2 sentences the attention chose nothing"
    assert "51 % of its attention falls on padding" in page.inner_text(".facts")
    page = visit("usual")
    assert page.locator("#warning .note").count() == 0


def test_comparison_comes_first_and_says_what_it_can_show(visit):
    page = visit("usual")
    assert page.inner_text("#h-compare") == "5 seeds do not tell them apart."
    assert "on which one accuracy alone is uncertain by ±2.8 points" in page.inner_text("#compare")
    assert page.locator(".strip .dot").count() == 10
    assert "80.7 ± 0.8 %" in page.inner_text(".runs")
    page.click("#compare summary")
    assert "81.3" in page.inner_text(".wide")


def test_filter_sort_search_and_address(visit):
    page = visit("usual")
    page.check("input[name=show][value=wrong]", force=True)
    assert page.eval_on_selector_all("[role=option]", "a => a.map(n => n.id)") == ["s5", "s9", "s13"]
    page.select_option("#sort", "unsure")
    assert page.eval_on_selector_all("[role=option]", "a => a.map(n => n.id)") == ["s9", "s5", "s13"]
    page.fill("#q", "SURPRISE")
    assert page.eval_on_selector_all("[role=option]", "a => a.map(n => n.id)") == ["s9"]
    assert page.inner_text("#count").startswith("1 of the 14 sentences")
    address = page.evaluate("location.hash")
    again = visit("usual", address + "&s=9&order=effect")
    assert again.eval_on_selector_all("[role=option]", "a => a.map(n => n.id)") == ["s9"]
    assert again.input_value("#q") == "SURPRISE" and again.input_value("#sort") == "unsure"
    words = again.eval_on_selector_all(".words tbody th .word", "a => a.map(n => n.textContent)")
    loo = data(again)["items"][8]["attribution"]["leave_one_out"]
    assert words == [w for _, w in sorted(zip(loo, data(again)["items"][8]["input"]), key=lambda p: -abs(p[0]))]
    page.fill("#q", "nowhere")
    assert "None. Show all" in page.inner_text("#list")
    visit("usual", "#s=999&order=nonsense&show=x&sort=__proto__")   # anything in the address is harmless


def test_saved_pictures_hold_the_words_and_do_not_depend_on_the_scheme(visit):
    light, dark = visit("usual", "#s=14"), visit("usual", "#s=14", "dark")
    for figure in ["sentence", "word bars", "what-if row", "comparison of models"]:
        bytes_light = saved(light, figure, "SVG")
        assert bytes_light == saved(dark, figure, "SVG"), figure
        root = xml.fromstring(bytes_light)
        texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "foreignObject" not in bytes_light.decode() and root.find("{http://www.w3.org/2000/svg}title").text == figure
        if figure != "comparison of models":
            for word in ["sushi", "mochi", "lovely"]:
                assert word in texts
        size = light.evaluate("""s => new Promise(done => { const i = new Image(); i.onload = () => done([i.naturalWidth, i.naturalHeight]); i.onerror = () => done(null);
            i.src = URL.createObjectURL(new Blob([s], { type: 'image/svg+xml' })); })""", bytes_light.decode())
        assert size and size[0] > 200 and size[1] > 50
        png = saved(light, figure, "PNG")
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(png[16:20], "big") == 2 * size[0]
        colours = light.evaluate("""async b => { const i = await createImageBitmap(new Blob([new Uint8Array(b)], { type: 'image/png' })), c = document.createElement('canvas');
            c.width = i.width; c.height = i.height; const g = c.getContext('2d'); g.drawImage(i, 0, 0); const d = g.getImageData(0, 0, c.width, c.height).data, s = new Set();
            for (let k = 0; k < d.length; k += 4) s.add(d[k] << 16 | d[k + 1] << 8 | d[k + 2]); return s.size; }""", list(png))
        assert colours > 10


def test_saved_tables(visit):
    page = visit("hostile")
    item = data(page)["items"][0]
    rows = list(csv.reader(io.StringIO(saved(page, "word bars", "CSV").decode(), newline="")))
    assert rows[0][:4] == ["position", "word", "seen", "attention"]
    assert [r[1] for r in rows[1:]] == [("'" + w if w[0] in "=+-@\t\r" else w) for w in item["input"]]
    assert rows[4][1].startswith("'=HYPERLINK")
    assert [float(r[3]) for r in rows[1:]] == attention(item)
    assert json.loads(saved(page, "word bars", "JSON"))["input"] == item["input"]


def test_hostile_words_stay_words(visit):
    page = visit("hostile")
    assert page.locator("img").count() == 0 and page.locator("b:has-text('run')").count() == 0
    assert page.locator("#text .tok").first.inner_text() == "</script><img src=x onerror=alert(1)>"
    assert page.inner_text(".over") == 'attend explain · <b>run</b> & "name" ⟨U+202E⟩'
    boxes = page.eval_on_selector_all("#text .tok", "a => a.map(n => { const r = n.getClientRects()[0]; return [Math.round(r.top), r.left]; })")
    for (top, left), (top2, left2) in zip(boxes, boxes[1:]):
        assert top2 > top or left2 > left      # an override inside one word does not reorder the others


def test_two_thousand_words_and_five_hundred_sentences(visit):
    page = visit("huge")
    assert page.locator("#text .tok").count() == 2000 and page.locator("[role=option]").count() == 500
    assert page.locator(".words tbody tr").count() == 17
    rows = list(csv.reader(io.StringIO(saved(page, "word bars", "CSV").decode(), newline="")))
    assert len(rows) == 2001 and rows[2000][1] == "word1999"


@pytest.mark.parametrize("width,least", [(1280, 26), (390, 32)])
def test_targets_are_large_enough(visit, width, least):
    assert_targets(visit("usual", width=width), least)


def test_print_keeps_the_shades_and_drops_the_controls(visit):
    page = visit("usual", scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(252, 252, 250)"
    for gone in [".save", ".controls", "footer", "#readout"]:
        assert page.locator(gone).first.is_hidden(), gone
    assert page.eval_on_selector("#text .w10", "n => getComputedStyle(n).backgroundColor") == "rgb(0, 59, 123)"
    assert page.eval_on_selector("#text .w10", "n => getComputedStyle(n).printColorAdjust") == "exact"
    assert page.eval_on_selector("#list", "n => n.scrollHeight <= n.clientHeight + 1")   # nothing hidden in a scroll box


def test_phone_choosing_a_sentence_leads_to_it_and_back(visit):
    page = visit("usual", width=390)
    page.click("#s7")
    assert page.evaluate("document.activeElement.id") == "h-panel"
    assert abs(page.evaluate("document.querySelector('#panel').getBoundingClientRect().top")) < 20
    page.click(".back")
    assert page.evaluate("document.activeElement.id") == "s7"
