"""Opens the pages of make_report in a headless Chromium and asserts what they show."""
import os
import pathlib
import subprocess

import pytest

PAGES = ["usual", "no-attention", "one-seed", "padding", "hostile", "huge", "classes", "empty"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    subprocess.run([os.environ["ATTEND_MAKE_REPORT"], str(out)], check=True, stdout=subprocess.DEVNULL)
    return out


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_written(folder, name):
    assert (folder / f"{name}.html").stat().st_size > 10000
