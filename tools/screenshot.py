#!/usr/bin/env python3
"""screenshot.py PAGE.html PICTURE.png [WIDTH HEIGHT [ADDRESS]]: what a browser shows of a report.

docs/images/report.png is made by
  attend train classification/bilstm-attention --data uci-sentiment:amazon+yelp --seed 1 --out r1
  attend explain r1 --data uci-sentiment:amazon+yelp --split validation --html report.html
  tools/screenshot.py report.html docs/images/report.png
"""
import pathlib
import shutil
import sys

from playwright.sync_api import sync_playwright

page_file, picture, *rest = sys.argv[1:]
width, height = (int(rest[0]), int(rest[1])) if len(rest) >= 2 else (1280, 860)
address = pathlib.Path(page_file).resolve().as_uri() + (rest[2] if len(rest) > 2 else "")
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.screenshot(path=picture)
    browser.close()
