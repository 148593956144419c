"""What tests of pages ask of an open page."""


def data(page):
    return page.evaluate("JSON.parse(document.getElementById('data').textContent)")


def saved(page, figure, kind):
    with page.expect_download() as download:
        page.click(f"button[aria-label='Save {figure} as {kind}']")
    with open(download.value.path(), "rb") as f:
        return f.read()
