"""Opens the pages of make_readings in a headless Chromium and asserts what they show: the list "A browser test asserts" of the
report's design, as far as it concerns what a language model looked back on.

Mutations these tests kill: rows shaded on the matrix's largest weight; a row that ends before the token being read; effects of the
row before; a chosen token that is not written into the address, or forgotten when the pointer leaves; the first map in place of the
mean; a canvas not painted anew when the scheme changes; the first lines in place of the last; labels in one line above the matrix;
the probability of the token read said of what follows; lines scaled on the whole text's effects; no dash under what was in the way;
Escape that lets nothing go; the whole text's bars for every row; the verdict behind the bars; texts written as markup; all-equal
weights shaded on their own largest.
"""
import math
import xml.etree.ElementTree as xml

import pytest

from pages import assert_contrast, assert_fits, assert_targets, data, saved

PAGES = ["usual", "heads", "no-attention", "hostile", "huge", "empty"]
RAMP = {"light": "#003b7b", "dark": "#b5d8fe"}


def classes(page, selector="#text .tok"):
    return page.eval_on_selector_all(selector, "a => a.map(n => n.className)")


def mean(item):
    maps = [a["weights"] for a in item["attention"]]
    return [[None if w is None else sum(m[t][s] for m in maps) / len(maps) for s, w in enumerate(row)] for t, row in enumerate(maps[0])]


def shade(row, s, flat=False):
    top = 1 if flat else max((w for w in row if w is not None), default=0)
    return int(10 * row[s] / top + .5) if row[s] else 0


def line(row, s):
    """The class of the line under a token for its effect."""
    if row[s] is None:
        return ""
    k = math.floor(4 * abs(row[s]) / max(.1, max(abs(x) for x in row if x is not None)) + .5)
    return (f" e{k}" + (" con" if row[s] < 0 else "")) if k else ""


def expected(item, t):
    """The text's classes while token t is read."""
    w, effects = mean(item)[t], item["attribution"]["leave_one_out_by_token"][t]
    flat = item["verdict"]["name"] == "all_equal"
    return [f"tok w{shade(w, s, flat)}{line(effects, s)}" + (" now" if s == t else " gone" if s > t else "") for s in range(len(w))]


@pytest.mark.parametrize("name", PAGES)
def test_silent_and_never_wider_than_the_window(visit, name):
    page = visit(name)
    for item in data(page)["items"] or [{"id": 0}]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        assert_fits(page, name, item["id"])
        assert not {"false", "undefined", "NaN", "null", "[object"} & set(page.inner_text("main").split())


def test_the_chosen_token_shades_and_underlines_the_others(visit):
    page = visit("usual")
    for item in data(page)["items"]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        page.wait_for_function(f"item.id === {item['id']}")
        n = len(item["input"])
        assert classes(page) == expected(item, max(0, n - 2)), item["id"]   # what is lit at first
        page.focus("#text [tabindex='0']")
        page.keyboard.press("End")
        assert classes(page) == expected(item, n - 1), item["id"]


def test_every_cell_has_the_shade_of_its_weight(visit):
    for name in ["usual", "heads"]:
        page = visit(name)
        for item in data(page)["items"]:
            page.evaluate(f"location.hash = 's={item['id']}'")
            page.wait_for_function(f"item.id === {item['id']}")
            w, flat = mean(item), item["verdict"]["name"] == "all_equal"
            assert classes_of_cells(page) == [f"cell w{shade(row, s, flat)}" for row in w for s in range(len(row)) if row[s] is not None]
            for t, row in enumerate(item["attention"][0]["weights"]):   # and what a row lacks to 1 fell on the start
                total = sum(x for x in row if x is not None)
                assert total == pytest.approx(.9, abs=.01) or t == 0 or flat


def classes_of_cells(page):
    return page.eval_on_selector_all(".matrix .cell", "a => a.map(n => n.getAttribute('class'))")


def test_a_head_can_be_chosen(visit):
    page = visit("heads")
    item = data(page)["items"][0]
    assert page.eval_on_selector_all("#map option", "a => a.map(n => n.textContent)") == [
        "mean over 4 maps", "layer 1, head 1", "layer 1, head 2", "layer 2, head 1", "layer 2, head 2"]
    page.select_option("#map", "2.1")
    assert page.evaluate("location.hash") == "#map=2.1"
    w = item["attention"][2]["weights"]
    assert classes_of_cells(page) == [f"cell w{shade(row, s)}" for row in w for s in range(len(row)) if row[s] is not None]
    again = visit("heads", "#map=2.1")
    assert classes(again) == classes(page) and again.input_value("#map") == "2.1"
    assert classes(visit("heads", "#map=nonsense")) == expected(item, 8)


def test_keys_choose_a_token_and_the_address_follows(visit):
    page = visit("usual", "#s=1&t=4")
    item = data(page)["items"][0]
    assert page.inner_text("#readout b") == "“chasing”"
    page.focus("#text [tabindex='0']")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("location.hash") == "#s=1&t=5" and page.inner_text("#readout b") == "“a”"
    assert page.evaluate("document.activeElement.textContent") == "a" and page.get_attribute("#text [aria-selected='true']", "data-i") == "4"
    assert "looks at chasing .60 · The .10 · FBI .10 · is .10 · the start of the text .10." in page.inner_text("#readout")
    p = math.exp(item["output"]["log_probability"][5])
    assert f"Its guess of the next token: “criminal” .{100 * p:.0f}, which follows." in page.inner_text("#readout")
    page.keyboard.press("ArrowRight")
    assert "Its guess of the next token: “the” .78; what follows is “on”, .33." in page.inner_text("#readout")
    page.keyboard.press("Home")
    assert page.evaluate("location.hash") == "#s=1&t=1" and "the start of the text 1.00" in page.inner_text("#readout")
    page.keyboard.press("End")
    assert page.evaluate("location.hash") == "#s=1&t=10"
    assert page.inner_text("#readout").endswith("Its guess of the next token: “the” .78.")
    page.keyboard.press("Escape")
    assert page.evaluate("location.hash") == "#s=1&t=0" and page.inner_text("#readout").startswith("Choose a token")
    assert classes(page) == ["tok w0"] * 10 and page.inner_text("#of") == "For the whole text"
    assert classes(visit("usual", "#s=1&t=0")) == ["tok w0"] * 10


def test_the_pointer_lights_a_token_for_as_long_as_it_is_there(visit):
    page = visit("usual", "#s=1")
    item = data(page)["items"][0]
    page.locator("#text .tok").nth(3).hover()
    assert classes(page) == expected(item, 3) and page.inner_text("#of") == "For what follows “chasing”"
    page.mouse.move(2, 2)
    assert classes(page) == expected(item, 8)
    page.locator("#text .tok").nth(5).click()
    page.mouse.move(2, 2)
    assert classes(page) == expected(item, 5) and page.evaluate("location.hash") == "#s=1&t=6"


def test_keys_read_the_matrix_cell_by_cell(visit):
    page = visit("usual", "#s=1&t=0")
    item = data(page)["items"][0]
    page.focus(".matrix")
    page.keyboard.press("Home")
    assert page.inner_text("#readout b") == "“The” on “The” –."   # an LSTMN can't look at what it reads
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#readout b") == "“chasing” on “FBI” .15."
    assert page.locator(".matrix .hair").count() == 2
    effect = item["attribution"]["leave_one_out_by_token"][3][1]
    assert f"Without “FBI” log P of “a” changes by {'−' if effect > 0 else '+'}{abs(effect):.2f}".replace("0.", ".") in page.inner_text("#readout")
    for _ in range(9):
        page.keyboard.press("ArrowRight")   # never beyond the diagonal
    assert page.inner_text("#readout b") == "“chasing” on “chasing” –."
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#readout b") == "“is” on “is” –."
    page.keyboard.press("End")
    assert page.inner_text("#readout b") == "“.” on “.” –."
    page.keyboard.press("Escape")
    assert page.locator(".matrix .hair").count() == 0


def test_the_pointer_reads_the_matrix_too(visit):
    page = visit("usual", "#s=1&t=0")
    page.locator(".matrix .cell").nth(3).hover()   # rows 1, 2 and 3 have 1, 2 and 3 cells
    assert page.inner_text("#readout b") == "“chasing” on “The” .15."
    box = page.locator(".matrix").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 40, box["y"] + box["height"] / 2)
    assert page.locator(".matrix .hair").count() == 1   # over the diagonal there is a row, but nothing that it may look at


def test_labels_stand_over_the_diagonal(visit):
    page = visit("usual", "#s=1")
    item = data(page)["items"][0]
    assert page.eval_on_selector_all(".matrix text", "a => a.map(n => n.textContent)") == 2 * item["input"]
    first, last = (page.locator(".matrix text").nth(i).bounding_box() for i in (0, 9))
    assert last["y"] - first["y"] > 150
    page.click("#numbers summary")
    page.wait_for_selector("#numbers td")
    assert page.locator("#numbers td").count() == 100


def test_leave_one_out_stands_beside_attention_and_the_verdict_before_them(visit):
    page = visit("usual", "#s=1&t=9")
    item = data(page)["items"][0]
    rows = page.eval_on_selector_all("#bars tr", "a => a.map(n => [n.children[0], n.children[2], n.children[4]].map(c => c.textContent))")
    w, effects = item["attention"][0]["weights"][8], item["attribution"]["leave_one_out_by_token"][8]
    assert [r[0] for r in rows] == item["input"][:9]
    assert [None if r[1] == "–" else float(r[1]) for r in rows] == [None if x is None else pytest.approx(x, abs=.0051) for x in w[:9]]
    assert [float(r[2].replace("−", "-")) for r in rows] == [pytest.approx(x, abs=.0051) for x in effects[:9]]
    assert page.inner_text("#verdict .lead") == "Attention agrees well with what the guesses needed"
    assert page.evaluate("document.querySelector('#verdict').compareDocumentPosition(document.querySelector('#bars')) & Node.DOCUMENT_POSITION_FOLLOWING")
    assert page.locator(".warn").count() == 0
    page.keyboard.press("Escape")
    totals = page.eval_on_selector_all("#bars tr", "a => a.map(n => n.children[4].textContent)")
    known = [x for x in item["attribution"]["leave_one_out"] if x is not None]
    assert [float(x.replace("−", "-")) for x in totals if x != "–"] == [pytest.approx(x, abs=.0051) for x in known]
    page = visit("usual", "#s=2")
    assert page.inner_text("#verdict .lead") == "Warning. Attention and what the guesses needed disagree" and page.locator(".warn").count() == 1


def test_the_text_line_by_line(visit):
    page = visit("usual", "#s=1")
    item = data(page)["items"][0]
    rows = page.eval_on_selector_all(".lines tbody tr", "a => a.map(n => [...n.children].map(c => c.textContent.trim()))")
    assert [r[0] for r in rows] == [" ".join(item["input"][:t + 1]) for t in range(10)]
    assert rows[0][1:] == ["FBI .55", "FBI .55"] and rows[9][1:] == ["–", "the .78"]
    for t in range(10):
        assert classes(page, f".lines tr:nth-child({t + 1}) .tok") == [c.replace(" now", "") for c in expected(item, t)[:t + 1]]
    assert page.locator(".lines .now").count() == 10
    page = visit("usual", "#s=6")   # 60 words
    assert page.locator(".lines tbody tr").count() == 24 and "The last 24 of 60 lines" in page.inner_text("#lines")
    assert page.inner_text(".lines tbody tr:last-child .sofar").startswith("… 44 … word44 word45 ")


def test_each_state_says_its_sentence(visit):
    page = visit("usual", "#s=3")
    assert page.inner_text("#verdict .lead") == "Warning. All weights are nearly equal"
    page = visit("usual", "#s=4")
    assert page.inner_text("#verdict .lead").startswith("One token to look back on") and "Leave-one-out is missing" in page.inner_text("#needed")
    page = visit("usual", "#s=5")
    assert page.inner_text("#verdict .lead") == "Too few tokens to compare"
    page = visit("usual", "#s=6")
    assert "Too many words for labels" in page.inner_text("#looked") and page.locator(".matrix text").count() == 0
    assert page.locator("#bars tr").count() == 16
    assert "word56" in page.inner_text("#bars")   # what this row needed most is there
    page.click("#more")
    assert page.locator("#bars tr").count() == 59 and page.locator("#more").count() == 0
    page = visit("usual", "#s=7")
    assert page.inner_text("#text").replace("\n", "") == "KING:↵What␣is␣the␣matter?↵My␣lord"
    assert "12 tokens in front were not read" in page.inner_text("#reading")
    page = visit("no-attention")
    assert page.inner_text("h1") == "Which earlier tokens each guess needed" and page.locator(".matrix").count() == 0
    assert "this model has none" in page.inner_text("#looked") and page.locator(".sample").count() == 0
    assert page.inner_text("#verdict .lead") == "No attention to judge" and "looks at" not in page.inner_text("#readout")
    assert all(" w0" in c for c in classes(page)) and any(" e4" in c for c in classes(page))
    page = visit("empty")
    assert "This file holds no texts" in page.inner_text("main")


def test_a_large_matrix_is_painted_in_the_colours_of_the_scheme(visit):
    page = visit("huge", "#t=0")
    assert page.locator(".matrix .cell").count() == 0
    item = data(page)["items"][0]

    colour = """([t, s, wanted]) => { const x = 2 * (geo.left + geo.s * s) + 4, y = 2 * (geo.head + geo.s * t) + 4;
      const copy = el('canvas', {width: 1, height: 1}).getContext('2d'); copy.drawImage($('#matrix canvas'), -x, -y);
      return wanted === '#' + [...copy.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v.toString(16).padStart(2, '0')).join(''); }"""
    row = item["attention"][0]["weights"][100]
    assert shade(row, 98) == 10
    for scheme in ["dark", "light"]:
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(colour, arg=[100, 98, RAMP[scheme]])
        assert page.evaluate(colour, [100, 101, "#000000"])   # nothing beyond the diagonal
    page.focus(".matrix")
    page.keyboard.press("End")
    assert page.inner_text("#readout b") == "“word119” on “word119” –."
    root = xml.fromstring(saved(page, "matrix of weights", "SVG"))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 1


def test_the_address_and_the_list_agree(visit):
    page = visit("usual", "#s=1&t=3")
    page.select_option("#item", "5")
    assert page.evaluate("location.hash") == "#s=5" and page.locator("#text .tok").count() == 3
    page.evaluate("location.hash = 's=2&t=4'")
    page.wait_for_function("item.id === 2")
    assert page.input_value("#item") == "2" and page.inner_text("#readout b") == "“chasing”"
    visit("usual", "#s=__proto__&t=99999&map=constructor")   # anything in the address is harmless


def test_all_text_has_contrast(visit):
    for scheme in ["light", "dark"]:
        for name, hash in [("usual", "#s=1"), ("usual", "#s=2&t=6"), ("heads", ""), ("no-attention", "")]:
            assert_contrast(visit(name, hash, scheme), name, scheme)


def test_tab_reaches_each_group_once(visit):
    page = visit("heads", "#s=1")
    stops = []
    for _ in range(40):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("""(n => n.getAttribute('role') || n.id || n.className.baseVal || n.getAttribute('aria-label') || n.textContent)(document.activeElement)"""))
        if stops[-1] == stops[0] and len(stops) > 1:
            break
    assert stops.count("option") == 1 and stops.count("img") == 1 and stops.count("map") == 1, stops
    assert len(stops) == len(set(stops)) + 1


@pytest.mark.parametrize("width,least", [(1280, 26), (390, 32)])
def test_targets_are_large_enough(visit, width, least):
    assert_targets(visit("usual", width=width), least)
    assert_targets(visit("heads", width=width), least)


def test_the_readout_stays_in_sight(visit):
    page = visit("usual", "#s=6")
    page.evaluate("scrollTo(0, document.querySelector('#lines').offsetTop - 300)")
    assert 0 <= page.locator("#readout").bounding_box()["y"] < 20
