"""A Chromium that opens the pages that ATTEND_MAKE_REPORT writes, and hears everything they say."""
import os
import subprocess

import pytest
from playwright.sync_api import sync_playwright

WATCH = "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective));"


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    subprocess.run([os.environ["ATTEND_MAKE_REPORT"], str(out)], check=True, stdout=subprocess.DEVNULL)
    return out


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as p:
        path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
        if not os.path.exists(path):
            pytest.skip(f"no Chromium at {path}: install chromium or set CHROMIUM")
        b = p.chromium.launch(executable_path=path, args=["--no-sandbox"], headless=True)
        yield b
        b.close()


@pytest.fixture
def visit(browser, folder):
    """Opens a page of the folder from file:// and, at the end, checks that it was silent and alone."""
    contexts, noise = [], []

    def go(name, hash="", scheme="light", width=1280, height=900):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(WATCH)
        page.on("console", lambda m: noise.append(f"{name}: {m.text}"))
        page.on("pageerror", lambda e: noise.append(f"{name}: {e}"))
        page.on("dialog", lambda d: (noise.append(f"{name}: dialog {d.message}"), d.dismiss()))
        allowed = f"file://{folder}/{name}.html"
        page.on("request", lambda r: None if r.url.split("#")[0] == allowed or r.url.startswith("blob:") else noise.append(f"{name}: asked for {r.url}"))
        page.goto(f"file://{folder}/{name}.html{hash}")
        return page

    yield go
    for context in contexts:
        for page in context.pages:
            noise += page.evaluate("violations")
        context.close()
    assert noise == []
