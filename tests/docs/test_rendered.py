"""The result tables in the documents are what the scripts write from the kept measurements: nobody typed a number.

Mutations killed: a digit changed by hand in a table; a table left behind when the measurements were taken again.
"""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(os.environ.get("ATTEND_SOURCE", pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(ROOT / "tools/results"))
import generation_tables  # noqa: E402
import guide_tables  # noqa: E402
import language_tables  # noqa: E402
import performance  # noqa: E402
import render  # noqa: E402
import translation_tables  # noqa: E402


@pytest.mark.parametrize("name,tables", [("generation", generation_tables), ("guide", guide_tables), ("language", language_tables), ("performance", performance), ("translation", translation_tables)])
def test_document_is_rendered_from_its_measurements(name, tables):
    kept = ROOT / f"tools/results/{name}.json"
    if not kept.exists():
        pytest.skip(f"{name}.json: nothing has been measured yet")
    text = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    assert render.replaced(text, tables.parts(render.read_json(kept))) == text
