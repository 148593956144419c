"""What leaves the pages of make_readings: saved pictures and tables, print, the stand-alone picture; and that hostile words stay words.
"""
import csv
import io
import json
import math
import xml.etree.ElementTree as xml

import pytest

from pages import assert_picture, data, saved



def test_saved_pictures_hold_the_words_and_do_not_depend_on_the_scheme(visit):
    light, dark = visit("usual", "#s=1"), visit("usual", "#s=1", "dark")
    figures = [("text", ["chasing", "run"]), ("matrix of weights", ["FBI", "criminal"]), ("tokens", ["chasing", "+2.30"]),
               ("text line by line", ["chasing", "Likeliest", ".55"])]
    for figure, words in figures:
        assert_picture(light, dark, figure, words)
    for figure in ["text", "matrix of weights", "text line by line"]:
        fills = {r.get("fill") for r in xml.fromstring(saved(light, figure, "SVG")).iter("{http://www.w3.org/2000/svg}rect")}
        assert "rgb(0, 59, 123)" in fills, (figure, fills)


def test_saved_tables(visit):
    page = visit("hostile")
    item = data(page)["items"][0]
    rows = list(csv.reader(io.StringIO(saved(page, "matrix of weights", "CSV").decode(), newline="")))
    assert rows[0][2].startswith("'=HYPERLINK") and len(rows) == 11
    assert [float(x) if x else None for x in rows[4][1:]] == item["attention"][0]["weights"][3]
    assert json.loads(saved(page, "tokens", "JSON")) == item
    lines = list(csv.reader(io.StringIO(saved(page, "text line by line", "CSV").decode(), newline="")))
    assert len(lines) == 11 and float(lines[3][2]) == pytest.approx(math.exp(item["output"]["log_probability"][2]))
    assert lines[3][5:7] == [item["input"][1].replace("=", "'="), "0.6"]
    text = list(csv.reader(io.StringIO(saved(visit("huge"), "text", "CSV").decode(), newline="")))
    assert [r[1] for r in text[1:]] == [f"word{i}" for i in range(120)]   # none is thinned away


def test_hostile_words_stay_words(visit):
    page = visit("hostile", "#t=2")
    assert page.locator("main img").count() == 0 and page.locator("b:has-text('run')").count() == 0
    assert page.locator("#text .tok").first.inner_text() == "</script><img src=x onerror=alert(1)>"
    assert "“<img src=x onerror=alert(3)>”" in page.inner_text("#readout")
    assert page.locator("#text .tok").nth(8).inner_text() == "__proto__"


def test_print_keeps_the_shades_and_drops_the_controls(visit):
    page = visit("usual", "#s=1", scheme="dark")
    page.emulate_media(media="print")
    for gone in [".save", ".controls", "footer", "#readout"]:
        assert page.locator(gone).first.is_hidden(), gone
    assert page.eval_on_selector(".matrix .w10", "n => getComputedStyle(n).fill") == "rgb(0, 59, 123)"
    assert page.eval_on_selector(".lines .w10", "n => getComputedStyle(n).backgroundColor") == "rgb(0, 59, 123)"
    assert page.eval_on_selector(".lines .w10", "n => getComputedStyle(n).printColorAdjust") == "exact"


@pytest.mark.parametrize("number,lines", [(1, 10), (2, 24), (3, 24), (4, 10)])
def test_the_stand_alone_picture_parses_and_loads(visit, folder, number, lines):
    text = (folder / f"reading{number}.svg").read_text()
    root = xml.fromstring(text)
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    sides = [s for s in root.iter("{http://www.w3.org/2000/svg}line") if s.get("stroke") == "#1b1d21"]
    assert len(sides) == 4 * lines and "foreignObject" not in text   # a frame a line
    assert (f"{60 - 24} lines before are left out" in words) == (number == 2)
    assert ("9 lines before are left out; 12 tokens in front were not read" in words) == (number == 3)
    fills = {r.get("fill") for r in root.iter("{http://www.w3.org/2000/svg}rect")}
    assert ("#003b7b" in fills) == (number != 4) and ("No attention to judge" in words) == (number == 4)
    page = visit("empty")
    assert page.evaluate("s => new Promise(r => { const i = new Image(); i.onload = () => r(i.width); i.onerror = () => r(0); i.src = 'data:image/svg+xml,' + encodeURIComponent(s); })", text) == 900
