"""Opens the pages of make_captions in a headless Chromium and asserts what they show: the list "A browser test asserts" of the
report's design, as far as it concerns captions."""
import csv
import io
import json
import xml.etree.ElementTree as xml

import pytest

from pages import assert_fits, data, saved

PAGES = ["usual", "hostile", "empty", "silent"]


def veil(page):
    """The large image's veil: its opacity, 0 … 255, by row and column of the canvas."""
    size, flat = page.evaluate("""() => {
      const c = document.querySelector('#big canvas');
      return [c.width, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 3)];
    }""")
    return [flat[y * size:(y + 1) * size] for y in range(size)]


@pytest.mark.parametrize("name", PAGES)
def test_silent_and_never_wider_than_the_window(visit, name):
    page = visit(name)
    for item in data(page)["items"] or [{"id": 0}]:
        page.evaluate(f"location.hash = 's={item['id']}'")
        assert_fits(page, name, item["id"])


def test_hovering_a_word_lights_its_map(visit):
    page = visit("usual")
    words = page.locator("#words [role=option]")
    assert words.all_inner_texts() == data(page)["items"][0]["output"]["tokens"]
    for k, (column, row) in enumerate([(1, 1), (2, 2), (3, 2), (3, 3), (4, 4), (5, 5), (6, 6)]):
        words.nth(k).hover()
        assert f"at column {column}, row {row} of 6" in page.inner_text("#readout")
        opacity = veil(page)
        clearest = min((a, x, y) for y, line in enumerate(opacity) for x, a in enumerate(line))
        assert clearest[0] == 0 and abs(clearest[1] - (column - .5) * 28) <= 15 and abs(clearest[2] - (row - .5) * 28) <= 15
        assert opacity[167 if row < 4 else 0][167 if column < 4 else 0] > 180, "veiled where the weight is small"
        assert words.nth(k).get_attribute("aria-selected") == "true"
        assert page.locator("#words [aria-selected=true]").count() == 1
        assert page.locator("#table tr[aria-current=true] th").inner_text() == words.nth(k).inner_text()


def test_keys_walk_through_the_words(visit):
    page = visit("usual")
    page.focus("#words [role=option][tabindex='0']")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#readout b").strip() == "“red”"
    assert "inside" not in page.inner_text("#readout") and "lies in the box" in page.inner_text("#readout")
    page.keyboard.press("End")
    assert "lies outside the box" in page.inner_text("#readout")
    assert page.locator("#words [tabindex='0']").count() == 1 and page.locator("#strip [tabindex='0']").count() == 1
    assert "w=6" in page.evaluate("location.hash")


def test_the_table_and_the_strip_say_the_same(visit):
    page = visit("usual")
    cells = [row.split("\t") for row in page.locator("#table tbody tr").all_inner_texts()]
    assert len(cells) == 7 and page.locator("#strip button").count() == 7
    assert cells[1][-1].strip() == "✓ in box" and cells[6][-1].strip() == "✗ outside" and cells[0][-1].strip() == "–"
    assert page.locator("#strip button").nth(1).inner_text().endswith("✓")
    assert page.locator("#strip button").nth(6).inner_text().endswith("✗")
    assert "1 of 2 words" in page.inner_text("#verdict") and page.locator("#said p").count() == 2


def test_maps_that_are_alike_are_warned_of(visit):
    page = visit("usual")
    assert page.locator("#alike.warn").count() == 0 and "differ from word to word" in page.inner_text("#verdict")
    page.select_option("#item", "2")
    assert page.locator("#alike.warn").count() == 1
    assert "hardly differ" in page.inner_text("#verdict") and "do not take these maps" in page.inner_text("#verdict")
    page.select_option("#item", "3")
    assert "Fewer than two words" in page.inner_text("#verdict") and page.locator("#alike.warn").count() == 0


def test_the_map_as_computed(visit):
    page = visit("usual", "#w=1")
    page.check("input[value=cells]")
    opacity = veil(page)
    assert len(opacity) == 6 and opacity[1][1] == 0 and opacity[4][4] > 200
    page.check("input[value=none]")
    assert page.locator("#big canvas").count() == 0


def test_the_image_keeps_its_shape(visit):
    page = visit("usual", "#s=2")
    box = page.locator("#big .pic").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(300 / 180, rel=.02)


def test_contrast(visit):
    """Text on paper at 4.5 : 1 or more, in both schemes."""
    page = visit("usual", "#s=2")
    for scheme in ["light", "dark"]:
        page.emulate_media(color_scheme=scheme)
        worst = page.evaluate("""() => {
          const rgb = c => c.match(/[\\d.]+/g).map(Number);
          const light = c => rgb(c).slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                                 .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
          const ground = n => { for (; n; n = n.parentElement) { const c = rgb(getComputedStyle(n).backgroundColor); if (c.length < 4 || c[3] > 0) return getComputedStyle(n).backgroundColor; } return 'rgb(255,255,255)'; };
          let worst = [99, ''];
          for (const n of document.querySelectorAll('body *')) {
            if (![...n.childNodes].some(k => k.nodeType === 3 && k.data.trim()) || !n.getClientRects().length || n.closest('script,noscript,.skip,.vh')) continue;
            const a = light(getComputedStyle(n).color), b = light(ground(n)), c = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
            if (c < worst[0]) worst = [c, n.outerHTML.slice(0, 80)];
          }
          return worst;
        }""")
        assert worst[0] >= 4.5, (scheme, worst)


def test_what_is_saved(visit):
    page = visit("usual")
    strip = saved(page, "film strip", "SVG")
    texts = [n.text for n in xml.fromstring(strip).iter("{http://www.w3.org/2000/svg}text")]
    assert [w for w in data(page)["items"][0]["output"]["tokens"] if w not in texts] == []
    assert strip.count(b"<image") == 14   # a picture and its veil for each word
    page.emulate_media(color_scheme="dark")
    assert saved(page, "film strip", "SVG") == strip, "the scheme of the page has no say"
    assert saved(page, "image overlay", "PNG")[:8] == b"\x89PNG\r\n\x1a\n"
    rows = list(csv.reader(io.StringIO(saved(page, "film strip", "CSV").decode())))
    assert len(rows) == 8 and rows[0][:3] == ["word", "r1c1", "r1c2"] and len(rows[0]) == 37
    assert sum(map(float, rows[2][1:])) == pytest.approx(1, abs=1e-4)
    assert json.loads(saved(page, "film strip", "JSON"))["id"] == 1


def test_nothing_in_the_data_becomes_markup(visit):
    page = visit("hostile")
    assert page.locator("#words img, #words script, header b").count() == 0
    assert page.locator("#words [role=option]").first.inner_text() == "</script><img src=x onerror=alert(2)>"
    rows = list(csv.reader(io.StringIO(saved(page, "film strip", "CSV").decode())))
    assert rows[2][0] == "'=HYPERLINK(1)"


def test_nothing_to_show(visit):
    assert "holds no captions" in visit("empty").inner_text("#verdict")
    page = visit("silent")
    assert "wrote no word" in page.inner_text("#readout") and page.locator("#big img").count() == 1


def test_the_strip_is_a_picture(folder):
    root = xml.fromstring((folder / "strip.svg").read_text())
    images = list(root.iter("{http://www.w3.org/2000/svg}image"))
    texts = [n.text for n in root.iter("{http://www.w3.org/2000/svg}text")]
    assert len(images) == 8 and "the image" in texts and "field" in texts
    assert any("hardly differ" in (t or "") for t in texts)
