"""The matrix of self-attention on a page of sentences, in a headless Chromium.

Mutations these tests kill: the chosen head ignored; columns cut off where words see each other; every row on the first row's scale; no row lit for a
word; another cell read out; weights rounded to tenths; what fell on no word left unsaid.
"""
import pytest
from pages import assert_contrast, assert_picture, assert_targets, data


def cells(page):
    return page.eval_on_selector_all("#matrix rect.cell", "a => a.map(n => +n.classList[1].slice(1))")


def expected(weights):
    out = []
    for row in weights:
        top = max([w for w in row if w is not None], default=0)
        out += [int(10 * w / top + .5) if top > 0 else 0 for w in row if w is not None]
    return out


def mean(maps):
    n = len(maps[0]["weights"])
    of = lambda t, s: [m["weights"][t][s] for m in maps]   # noqa: E731
    return [[None if None in of(t, s) else sum(of(t, s)) / len(maps) for s in range(n)] for t in range(n)]


def close(shown, wanted):
    return len(shown) == len(wanted) and all(abs(a - b) <= 1 for a, b in zip(shown, wanted))   # a half may fall to either side


@pytest.mark.parametrize("name", ["heads", "looking-back"])
def test_every_cell_has_the_shade_of_its_weight(visit, name):
    page = visit(name, "#s=14")
    item = next(d for d in data(page)["items"] if d["id"] == 14)   # two words of it were not read
    assert close(cells(page), expected(mean(item["maps"])))
    options = page.eval_on_selector_all("#map option", "a => a.map(n => n.textContent)")
    if name == "heads":
        assert options == ["mean over 4 maps", "layer 1, head 1", "layer 1, head 2", "layer 2, head 1", "layer 2, head 2"]
    page.select_option("#map", "2.1")
    assert page.evaluate("location.hash").endswith("map=2.1")
    one = next(m for m in item["maps"] if m["layer"] == 1 and m["head"] == 0)
    assert cells(page) == expected(one["weights"])
    page.evaluate("location.hash = 's=1&map=2.1'")
    page.wait_for_function("document.querySelector('#s1').getAttribute('aria-selected') === 'true'")
    other = data(page)["items"][0]
    one = next(m for m in other["maps"] if m["layer"] == 1 and m["head"] == 0)
    assert cells(page) == expected(one["weights"])


def test_a_word_lights_its_row_and_a_cell_is_read_out(visit):
    page = visit("heads")
    item = data(page)["items"][0]
    page.hover("#text .tok[data-i='2']")
    assert page.eval_on_selector_all("#matrix .hair", "a => a.length") == 1
    assert page.text_content("#matrix text.on") is not None
    page.mouse.move(0, 0)
    page.focus("#matrix svg")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    said = page.text_content("#readout")
    w = mean(item["maps"])[0][1]
    assert said.startswith(f"{item['input'][0]} on {item['input'][1]} ") and f"{w:.2f}".lstrip("0") in said
    lit = page.eval_on_selector_all("#text .lit", "a => a.map(n => +n.dataset.i)")
    assert lit == [0]
    page.mouse.move(0, 0)
    page.keyboard.press("Escape")
    assert page.eval_on_selector_all("#matrix .hair", "a => a.length") == 0


def test_a_page_without_maps_has_no_matrix(visit):
    for name in ["usual", "no-attention", "empty"]:
        assert visit(name).query_selector("#looked") is None
    page = visit("looking-back", "#s=8")   # one word: it looks at nothing
    assert cells(page) == []


def test_what_is_missing_is_said(visit):
    page = visit("heads")
    assert "none of these maps is its reason" in page.text_content("#verdict")
    assert "A weight for each word is missing" in page.text_content("#panel")
    assert "none in this model" in page.text_content("#panel")
    assert "no word of the sentence" in page.evaluate("(light(0, null), $('#readout').textContent)")


def test_the_matrix_is_saved_and_legible(visit):
    for name in ["heads", "looking-back"]:
        light, dark = visit(name), visit(name, scheme="dark")
        assert_picture(light, dark, "self-attention", data(light)["items"][0]["input"][:3])
        assert_contrast(light, name)
        assert_contrast(dark, name)
        assert_targets(light, 24)
