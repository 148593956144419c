"""What tests of pages ask of an open page."""
import xml.etree.ElementTree as xml

WIDTHS = [360, 390, 768, 1280, 1600]


def data(page):
    return page.evaluate("JSON.parse(document.getElementById('data').textContent)")


def saved(page, figure, kind):
    with page.expect_download() as download:
        page.click(f"button[aria-label='Save {figure} as {kind}']")
    with open(download.value.path(), "rb") as f:
        return f.read()


def assert_picture(light, dark, figure, words):
    """What is saved of a figure: the same bytes in either scheme, its words as text, no foreign object; and a PNG that is no dot."""
    bytes_light = saved(light, figure, "SVG")
    assert bytes_light == saved(dark, figure, "SVG"), figure
    texts = [t.text for t in xml.fromstring(bytes_light).iter("{http://www.w3.org/2000/svg}text")]
    assert all(w in texts for w in words), texts
    assert "foreignObject" not in bytes_light.decode()
    png = saved(light, figure, "PNG")
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(png[16:20], "big") > 200


def assert_fits(page, *what):
    """Never wider than the window, in either scheme and at every width."""
    for scheme in ["light", "dark"]:
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (*what, scheme, width)


def assert_contrast(page, *what):
    """Every text has at least 4.5 : 1 to the ground behind it."""
    low = page.evaluate("""() => {
          const rgb = s => s.match(/[\\d.]+/g).map(Number), lum = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
          const ground = n => { for (; n; n = n.parentElement) { const c = rgb(getComputedStyle(n).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
          return [...document.querySelectorAll('body *')].filter(n => n.getClientRects().length && [...n.childNodes].some(k => k.nodeType === 3 && k.data.trim()) && !n.closest('script, style, .skip, option'))
            .map(n => { const s = getComputedStyle(n), a = lum(rgb(n.namespaceURI.endsWith('svg') ? s.fill : s.color)), b = lum(ground(n)); return [n.textContent, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; })
            .filter(([, c]) => c < 4.5); }""")
    assert low == [], (*what, low)


def assert_targets(page, least):
    """Every control is at least 26 wide and `least` high."""
    small = page.evaluate("""least => [...document.querySelectorAll('button, select, input, summary')].filter(n => n.getClientRects().length)
      .map(n => [n.textContent || n.id, n.getBoundingClientRect()]).filter(([, r]) => r.height < least - .5 || r.width < 26 - .5).map(([t, r]) => [t, r.width, r.height])""", least)
    assert small == []
