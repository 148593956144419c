"""docs/mechanisms: every page follows the template; its program is the one in examples/ and prints what the page says."""
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["ATTEND_SOURCE"])
BUILT = pathlib.Path(os.environ["ATTEND_PROGRAM"]).parent
FOLDER = SOURCE / "docs" / "mechanisms"
PAGES = sorted(p for p in FOLDER.glob("*.md") if p.name not in ("TEMPLATE.md", "README.md"))


def sections(path):
    return re.findall(r"^## (.+)$", path.read_text(), re.M)


def block(text, language):
    found = re.findall(rf"```{language}\n(.*?)```", text, re.S)
    return found[-1] if found else None


def test_there_are_pages():
    assert {"pool.md", "lstm.md"} <= {p.name for p in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_page_follows_the_template(page):
    assert sections(page) == sections(FOLDER / "TEMPLATE.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_program_is_the_example_and_prints_what_the_page_says(page):
    text = page.read_text()
    assert block(text, "cpp") == (SOURCE / "examples" / f"{page.stem}.cpp").read_text()
    printed = block(text, "text")
    if printed is None:
        pytest.skip("the page promises no output")
    program = BUILT / f"example_{page.stem}"
    if not program.exists():
        pytest.skip(f"{program.name} is not built")
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == printed
    for number in re.findall(r"\d\.\d{4}\b", printed):   # and the hand calculation arrives there
        assert number in text.split("## Shapes")[0], f"{number} is not in the hand calculation"
