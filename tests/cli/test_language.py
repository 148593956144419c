"""Language models as a user drives them: train, eval, predict, summary on a text of one's own."""
import json
import random
import re
import xml.etree.ElementTree as xml

import pytest

SMALL = ["--set", "model.hidden=16", "--set", "model.embedding_width=16", "--set", "data.row_tokens=16",
         "--set", "train.epochs=2", "--set", "data.tokens=characters", "--threads", "1"]


def write_text(path, lines=200):
    chance = random.Random(1)
    path.write_text("".join(f"the {chance.choice(['cat', 'dog'])} sat.\n" for _ in range(lines)))


@pytest.mark.parametrize("name", ["lstm", "lstmn", "transformer"])
def test_a_file_is_trained_measured_and_continued(attend, name):
    write_text(attend.folder / "text.txt")
    done = attend("train", f"language/{name}", "--data", "text.txt", "--out", "run", *SMALL, "--json")
    assert done.status == 0, done.err
    assert {"loss", "perplexity", "bits_per_character"} <= set(done.json["metrics"]["validation"])
    measured = attend("eval", "run", "--split", "validation", "--json").json
    assert measured["n"] > 0
    assert measured["metrics"]["loss"] == pytest.approx(done.json["metrics"]["validation"]["loss"], rel=1e-5)
    said = attend("predict", "run", "the ", "--json").json
    assert said["input"] == "the " and len(said["continuation"]) == 200 and said["score"] < 0
    assert attend("predict", "run", "the ", "--json").json == said
    assert attend("predict", "run", "the ", "--seed", "7", "--json").json != said
    shown = attend("predict", "run", "the ").out
    assert shown == "the " + said["continuation"] + "\n"
    layers = attend("summary", "run", "--json").json
    assert layers["parameters"] == done.json["parameters"]
    assert "text-generation" in (attend.folder / "run" / "README.md").read_text()


def assert_alike(page, document):
    """The same to six digits."""
    if isinstance(document, dict):
        assert set(document) <= set(page)
        for key, value in document.items():
            assert_alike(page[key], value)
    elif isinstance(document, list):
        assert len(page) == len(document)
        for a, b in zip(page, document):
            assert_alike(a, b)
    elif isinstance(document, float):
        assert page == pytest.approx(document, rel=1e-5)
    else:
        assert page == document


@pytest.mark.parametrize("name", ["lstm", "lstmn", "transformer"])
def test_what_it_looked_back_on(attend, name):
    write_text(attend.folder / "text.txt")
    assert attend("train", f"language/{name}", "--data", "text.txt", "--out", "run", *SMALL).status == 0
    shown = attend("explain", "run", "the cat")
    assert shown.status == 0, shown.err
    assert shown.out.splitlines()[0].startswith("[t]") and "[␣]" in shown.out
    assert ("No attention to judge" in shown.out) == (name == "lstm")
    said = attend("explain", "run", "the cat", "--json").json
    assert said["input"] == list("the cat") and len(said["output"]["log_probability"]) == 7
    assert len(said["output"]["guess"]) == 7 and all(p < 0 for p in said["output"]["guess_log_probability"])
    by_token = said["attribution"]["leave_one_out_by_token"]
    for s, total in enumerate(said["attribution"]["leave_one_out"]):
        known = [row[s] for row in by_token if row and row[s] is not None]
        assert total is None if not known else total == pytest.approx(sum(known), abs=1e-9)
    assert bool(said["attention"]) == (name != "lstm")
    for seen in said["attention"]:
        for t, row in enumerate(seen["weights"]):
            may = t + 1 if name == "transformer" else t
            assert all(w is None for w in row[may:]) and 0 <= sum(row[:may]) <= 1 + 1e-5
    several = attend("explain", "run", "the cat", "the dog", "--json").json
    assert [e["input"] for e in several["explanations"]] == [list("the cat"), list("the dog")]
    assert several["explanations"][0]["attention"] == said["attention"]
    assert "5 tokens in front were not read" in attend("explain", "run", "the cat sat. the dog").out
    drawn = attend("explain", "run", "the cat", "the dog", "--html", "x.html")
    assert drawn.out.split() == ["x.html"], drawn.err
    page = (attend.folder / "x.html").read_text()
    inside = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    assert inside["schema"] == "attend.explain/1" and [item["id"] for item in inside["items"]] == [1, 2]
    for item, document in zip(inside["items"], several["explanations"]):   # the page holds the document
        for name in set(document) - {"schema", "run"}:
            assert_alike(item[name], document[name])
    assert attend("explain", "run", "the cat", "--svg", "x.svg").out.split() == ["x.svg"]
    root = xml.fromstring((attend.folder / "x.svg").read_text())
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("h") >= 6 and "Followed by, P" in words   # on every line but the first
    done = attend("explain", "run", "the cat", "--png", "x.png")
    assert "librsvg" in done.err if done.status else (attend.folder / "x.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    attend.fails(2, "explain", "run", "the", "cat", "--svg", "y.svg", names=["--svg", "draws one sentence", "2"])
    attend.fails(2, "explain", "run", "the", "--apng", "y.png", names=["--apng"])
    assert not (attend.folder / "y.svg").exists()
    attend.fails(2, "explain", "run", "--split", "validation", names=["command line"])


def test_every_recipe_has_a_summary(attend):
    for name in ("lstm", "lstmn", "transformer"):
        assert attend("summary", f"language/{name}", "--json").json["parameters"] > 0


def test_what_belongs_to_other_tasks_is_refused(attend, trained):
    attend.fails(2, "train", "language/lstm", "--set", "data.max_length=8", names=["data.max_length", "classification"])
    attend.fails(2, "train", "language/lstm", "--set", "model.architecture=bahdanau", names=["lstm", "lstmn"])
    attend.fails(2, "predict", trained / "attention", "good", "--seed", "3", names=["--seed", "classification"])


def test_a_classifier_that_looks_back(attend):
    assert attend("data", "make", "synthetic-reviews", "--rows", "120", "--out", "reviews").status == 0
    small = ["--set", "model.hidden=8", "--set", "model.attention.width=8", "--set", "model.embedding_width=8",
             "--set", "train.epochs=2", "--threads", "1"]
    done = attend("train", "classification/lstmn", "--data", "reviews/synthetic-reviews.tsv", *small, "--out", "run", "--json")
    assert done.status == 0, done.err
    layers = attend("summary", "run", "--json").json
    assert layers["parameters"] == done.json["parameters"]
    shown = attend("explain", "run", "a great plot and a bad end")
    assert shown.status == 0, shown.err
    rows = shown.out.split("what it looked back on at each word\n")[1].splitlines()
    assert rows[0] == "[a]" and len(rows) == 7 and rows[-1].endswith("[end]")
    document = attend("explain", "run", "a great plot and a bad end", "--json").json
    (layer,) = document["attention"]
    assert layer["name"] == "self" and layer["weights"][0] == [None] * 7
    assert sum(layer["weights"][6][:6]) == pytest.approx(1, abs=1e-5)
    assert attend("explain", "run", "a great plot", "--svg", "a.svg").status == 0
    assert attend("explain", "run", "--split", "validation", "--html", "a.html").status == 0
    attend.fails(2, "train", "classification/lstmn", "--data", "reviews/synthetic-reviews.tsv", "--set",
                 "model.bidirectional=true", *small, "--out", "both", names=["model.bidirectional", "one direction"])
