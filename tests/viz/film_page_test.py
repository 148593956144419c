"""The film page in Chromium: silent, alone, readable in both schemes and at every width; controls, keys, address, saving."""
import csv
import io
import json
import xml.etree.ElementTree as xml

import pytest
from pages import assert_contrast, assert_targets, data, saved

PAGES = ["windows", "whole", "colour"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1600])
def test_nothing_scrolls_sideways(visit, width, scheme):
    for name in PAGES:
        page = visit(name, scheme=scheme, width=width)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


def test_strip_and_step_show_the_same(visit):
    page = visit("windows")
    film = data(page)["items"][0]
    assert page.locator("#strip button").count() == len(film["steps"]) == 20
    page.click("#strip button:nth-child(7)")
    assert page.evaluate("location.hash") == "#t=7"
    assert "Step 7." in page.inner_text("#readout") and "Write: 12.0 px wide at (7.5, 10.0)" in page.inner_text("#readout")
    assert page.input_value("#t") == "7" and page.inner_text("#t-value") == "7 of 20"
    rect = page.eval_on_selector("#now .write", "r => ['x', 'y', 'width'].map(a => Number(r.getAttribute(a)))")
    assert rect == pytest.approx([7.5 - 6 + .5, 10 - 6 + .5, 12])   # pixel centres lie half a pixel in
    assert page.locator("#now .dot.of-write").count() == 25 and page.locator("#now .read").count() == 1
    page.press("#strip button:nth-child(7)", "ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "step 8" and "Step 8." in page.inner_text("#readout")
    page.press("#strip button:nth-child(8)", "Home")
    assert "Step 1." in page.inner_text("#readout")
    assert "Step 3." in visit("windows", "#t=3").inner_text("#readout")
    visit("windows", "#t=999&win=nonsense")


def test_windows_can_be_hidden(visit):
    page = visit("windows")
    page.check("input[name=win][value=read]", force=True)
    assert page.locator(".write").count() == 0 and page.locator("#strip .read").count() == 20
    page.check("input[name=win][value=both]", force=True)
    assert page.locator("#strip .write").count() == 20
    whole = visit("whole")
    assert whole.locator("input[name=win]").count() == 0 and whole.locator(".read, .write").count() == 0


def test_what_lies_on_the_objects(visit):
    page = visit("windows", "#t=7")
    readout = page.inner_text("#readout")
    assert "75 % on the objects (50 % at a random place, 63 % in the middle). Write" in readout and "12 % on the objects (13 % at a random place, 25 % in the middle)" in readout
    assert "read 75 % on the objects (50 % at a random place, 63 % in the middle); write 19 % on the objects" in page.inner_text("#sum")
    rows = list(csv.reader(io.StringIO(saved(page, "film strip", "CSV").decode(), newline="")))
    assert rows[0][6:9] == ["read_on_objects", "read_by_chance", "read_in_the_middle"] and [float(v) for v in rows[7][-3:]] == pytest.approx([.12, .125, .25])
    page.click("#numbers summary")
    assert "write on objects" in page.inner_text("#numbers")
    unknown = visit("colour")
    assert "objects" not in unknown.inner_text("#readout") + unknown.inner_text("#sum")
    assert not any("objects" in h for h in next(csv.reader(io.StringIO(saved(unknown, "film strip", "CSV").decode()))))


@pytest.mark.parametrize("width", [360, 768, 900, 1280])
def test_nothing_of_the_readout_is_cut_off(visit, width):
    page = visit("windows", "#t=20", width=width)
    heights = page.eval_on_selector("#readout", "n => [n.scrollHeight, n.clientHeight, n.nextElementSibling.getBoundingClientRect().top - n.getBoundingClientRect().bottom]")
    assert heights[0] <= heights[1] and heights[2] >= 0


def test_play_stops_at_the_end(visit):
    page = visit("whole", "#t=11")
    page.click("#play")
    page.locator("#t-value", has_text="12 of 12").wait_for(timeout=10_000)
    assert page.inner_text("#play") == "Play"


def test_pictures_are_in_the_page(visit):
    for name, scheme in (("windows", "light"), ("windows", "dark"), ("colour", "dark")):
        page = visit(name, scheme=scheme)
        assert page.eval_on_selector_all("image", "a => a.every(n => n.getAttribute('href').startsWith('data:image/png'))")
        inverted = page.eval_on_selector("image", "n => getComputedStyle(n).filter") != "none"
        assert inverted == (name != "colour" and scheme == "dark")


def test_saving(visit):
    light, dark = visit("windows", "#t=5"), visit("windows", "#t=5", "dark")
    for figure in ("step", "film strip"):
        text = saved(light, figure, "SVG")
        assert text == saved(dark, figure, "SVG"), figure
        root = xml.fromstring(text)
        assert root.find("{http://www.w3.org/2000/svg}title").text == figure
        assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == (2 if figure == "step" else 20)
        assert saved(light, figure, "PNG")[:8] == b"\x89PNG\r\n\x1a\n"
    rows = list(csv.reader(io.StringIO(saved(light, "film strip", "CSV").decode(), newline="")))
    assert rows[0][:3] == ["step", "kl_nats", "read_x"] and len(rows) == 21 and float(rows[5][1]) == pytest.approx(2 - 1.5 * 4 / 20)
    assert json.loads(saved(light, "step", "JSON"))["read_size"] == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(visit, scheme):
    assert_contrast(visit("windows", scheme=scheme), scheme)


@pytest.mark.parametrize("width,least", [(1280, 26), (390, 32)])
def test_targets_are_large_enough(visit, width, least):
    assert_targets(visit("windows", width=width), least)
