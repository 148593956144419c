"""Opens the pages of make_translations in a headless Chromium and asserts what they show: the list "A browser test asserts" of
the report's design, as far as it concerns translations.

Mutations these tests kill: a shade step halved; arrow keys with rows and columns exchanged; the bars left on the whole output when
a row is lit; the highlight not removed; no warning where attention and leave-one-out disagree.
"""
import csv
import io
import json
import xml.etree.ElementTree as xml

import pytest

from pages import assert_contrast, assert_fits, assert_picture, assert_targets, data, saved

PAGES = ["usual", "no-attention", "hostile", "huge", "empty"]


def rects(page):
    return page.eval_on_selector_all(".matrix .cell", "a => a.map(n => n.getAttribute('class'))")


@pytest.mark.parametrize("name", PAGES)
def test_silent_and_never_wider_than_the_window(visit, name):
    page = visit(name)
    for item in data(page)["items"] or [{"id": 0}]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        assert_fits(page, name, item["id"])


def test_every_cell_has_the_shade_of_its_weight(visit):
    page = visit("usual")
    for item in data(page)["items"]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        page.wait_for_function(f"item.id === {item['id']}")
        weights = item["attention"][0]["weights"]
        top = 1 if item["verdict"]["name"] == "all_equal" else max(w for row in weights for w in row)
        assert rects(page) == [f"cell w{int(10 * w / top + .5)}" for row in weights for w in row], item["id"]
        dots = page.locator(".matrix .max").count()
        assert dots == (0 if max(len(weights), len(weights[0])) > 24 else len(weights))


def test_rows_and_columns_are_labelled(visit):
    page = visit("usual", "#s=1")
    item = data(page)["items"][0]
    assert page.eval_on_selector_all(".matrix text", "a => a.map(n => n.textContent)") == item["input"] + item["output"]["tokens"]
    page.click("#numbers summary")
    page.wait_for_selector("#numbers td")   # the table is filled by an event that follows the click
    cells = page.eval_on_selector_all("#numbers td", "a => a.map(n => +n.textContent)")
    assert len(cells) == 42 and cells[0] == .88


def test_keys_read_the_matrix_cell_by_cell(visit):
    page = visit("usual", "#s=1")
    page.focus(".matrix")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#readout b") == "“3” on “three” .88."
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#readout b") == "“3” on “hundred” .02."
    page.keyboard.press("End")
    assert page.inner_text("#readout b") == "“</s>” on “thousand” .88."
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#readout b") == "“</s>” on “thousand” .88."
    page.keyboard.press("Home")
    assert page.inner_text("#readout b") == "“3” on “three” .88." and page.locator(".matrix .hair").count() == 2
    assert page.inner_text("#of") == "For “3”"
    assert page.eval_on_selector_all("#pair .lit", "a => a.map(n => n.textContent)") == ["three", "3"]
    page.keyboard.press("Escape")
    assert page.locator(".matrix .hair").count() == 0 and page.inner_text("#readout").startswith("Point at a row")
    assert page.inner_text("#of") == "For the whole output"


def test_the_pointer_reads_it_too(visit):
    page = visit("usual", "#s=1")
    item = data(page)["items"][0]
    page.locator(".matrix .cell").nth(6 + 3).hover()
    assert page.inner_text("#readout b") == "“4” on “forty” .88."
    needed = item["attribution"]["leave_one_out_by_target"][1]
    assert f"Without “forty” log P of “4” changes by −{needed[3]:.2f}" in page.inner_text("#readout")
    bars = page.eval_on_selector_all("#bars tr", "a => a.map(n => n.querySelectorAll('td')[3].textContent)")
    assert [float(b.replace("−", "-")) for b in bars] == [pytest.approx(x, abs=.0051) for x in needed]
    page.mouse.move(2, 2)
    assert page.inner_text("#of") == "For the whole output"


def test_leave_one_out_stands_beside_attention_and_says_when_they_disagree(visit):
    page = visit("usual", "#s=1")
    item = data(page)["items"][0]
    rows = page.eval_on_selector_all("#bars tr", "a => a.map(n => [n.children[0], n.children[2], n.children[4]].map(c => c.textContent))")
    assert [r[0] for r in rows] == item["input"]
    assert [float(r[1]) for r in rows] == [pytest.approx(x, abs=.0051) for x in item["totals"]]
    assert [float(r[2].replace("−", "-")) for r in rows] == [pytest.approx(x, abs=.0051) for x in item["attribution"]["leave_one_out"]]
    assert page.inner_text("#verdict .lead") == "Attention agrees well with what the output needed"
    assert "For 7 of 7 output words" in page.inner_text("#verdict") and page.locator(".warn").count() == 0
    page = visit("usual", "#s=2")
    assert page.inner_text("#verdict .lead") == "Warning. Attention and what the output needed disagree"
    assert "For 2 of 10 output words" in page.inner_text("#verdict") and page.locator(".warn").count() == 1
    assert "✗ differs" in page.inner_text("#pair")


def test_each_state_says_its_sentence(visit):
    page = visit("usual", "#s=3")
    assert page.inner_text("#verdict .lead") == "Warning. All weights are nearly equal"
    page = visit("usual", "#s=4")
    assert "its weight is 1 by definition" in page.inner_text("#verdict")
    assert "leave-one-out is missing" in page.inner_text("#needed") and page.inner_text("#bars td:last-child") == "–"
    page = visit("usual", "#s=5")
    assert page.inner_text("#verdict .lead") == "Too few source words to compare"
    page = visit("usual", "#s=6")
    assert "Too many words for labels" in page.inner_text("#looked") and page.locator(".matrix text").count() == 0
    assert page.locator("#bars tr").count() == 16
    page.click("#more")
    assert page.locator("#bars tr").count() == 45 and page.locator("#more").count() == 0
    page = visit("no-attention")
    assert page.inner_text("h1") == "Which source words the output needed" and page.locator(".matrix").count() == 0
    assert "this model has none" in page.inner_text("#looked") and page.locator(".sample").count() == 0
    assert page.inner_text("#bars tr td:last-child").startswith("+")
    page = visit("empty")
    assert "This file holds no translations" in page.inner_text("main")


def test_the_address_and_the_list_agree(visit):
    page = visit("usual")
    page.select_option("#item", "5")
    assert page.evaluate("location.hash") == "#s=5" and page.locator("#bars tr").count() == 3
    page.evaluate("location.hash = 's=2'")
    page.wait_for_function("item.id === 2")
    assert page.input_value("#item") == "2"
    visit("usual", "#s=__proto__")   # anything in the address is harmless


def test_all_text_has_contrast(visit):
    for scheme in ["light", "dark"]:
        assert_contrast(visit("usual", "#s=2", scheme), scheme)


def test_tab_reaches_the_matrix_once(visit):
    page = visit("usual", "#s=1")
    stops = []
    for _ in range(30):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.className.baseVal || document.activeElement.textContent"))
        if stops[-1] == stops[0] and len(stops) > 1:
            break
    assert stops.count("matrix") == 1 and stops.count("item") == 1


def test_saved_pictures_hold_the_words_and_do_not_depend_on_the_scheme(visit):
    light, dark = visit("usual", "#s=1"), visit("usual", "#s=1", "dark")
    light.focus(".matrix")
    light.keyboard.press("ArrowDown")   # what is lit is not saved
    for figure, words in [("alignment matrix", ["three", "thousand", "4"]), ("source words", ["three", "thousand", "+2.50"])]:
        assert_picture(light, dark, figure, words)
    fills = {r.get("fill") for r in xml.fromstring(saved(light, "alignment matrix", "SVG")).iter("{http://www.w3.org/2000/svg}rect")}
    assert "rgb(0, 59, 123)" in fills, fills


def test_saved_tables(visit):
    page = visit("hostile")
    item = data(page)["items"][0]
    rows = list(csv.reader(io.StringIO(saved(page, "alignment matrix", "CSV").decode(), newline="")))
    assert rows[0][2].startswith("'=HYPERLINK") and len(rows) == 8
    assert [float(x) for x in rows[1][1:]] == item["attention"][0]["weights"][0]
    assert json.loads(saved(page, "source words", "JSON"))["input"] == item["input"]


def test_hostile_words_stay_words(visit):
    page = visit("hostile")
    assert page.locator("img").count() == 0 and page.locator("b:has-text('run')").count() == 0
    assert page.locator("#pair .tok").first.inner_text() == "</script><img src=x onerror=alert(1)>"
    page.focus(".matrix")
    page.keyboard.press("Home")
    assert page.inner_text("#readout b") == "“<b>run</b>” on “</script><img src=x onerror=alert(1)>” .88."


@pytest.mark.parametrize("width,least", [(1280, 26), (390, 32)])
def test_targets_are_large_enough(visit, width, least):
    assert_targets(visit("usual", width=width), least)


def test_print_keeps_the_shades_and_drops_the_controls(visit):
    page = visit("usual", "#s=1", scheme="dark")
    page.emulate_media(media="print")
    for gone in [".save", ".controls", "footer", "#readout"]:
        assert page.locator(gone).first.is_hidden(), gone
    assert page.eval_on_selector(".matrix .w10", "n => getComputedStyle(n).fill") == "rgb(0, 59, 123)"
    assert page.eval_on_selector(".matrix .w10", "n => getComputedStyle(n).printColorAdjust") == "exact"
