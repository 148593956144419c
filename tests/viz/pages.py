"""What tests of pages ask of an open page."""

WIDTHS = [360, 390, 768, 1280, 1600]


def data(page):
    return page.evaluate("JSON.parse(document.getElementById('data').textContent)")


def saved(page, figure, kind):
    with page.expect_download() as download:
        page.click(f"button[aria-label='Save {figure} as {kind}']")
    with open(download.value.path(), "rb") as f:
        return f.read()


def assert_fits(page, *what):
    """Never wider than the window, in either scheme and at every width."""
    for scheme in ["light", "dark"]:
        page.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (*what, scheme, width)
