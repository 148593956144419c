"""A pretrained encoder as a user meets it: the tiny one of tests/golden/bert, fine-tuned by the recipe classification/minilm."""
import json
import os
import shutil

import pytest
from conftest import DATA, SOURCE, write_reviews

BERT = SOURCE / "tests" / "golden" / "bert"
SMALL = ["--set", f"model.pretrained={BERT}", "--set", "data.max_length=38", "--set", "train.epochs=2", "--set", "optim.lr=1e-2",
         "--set", "data.extra=",
         "--threads", "1"]


@pytest.fixture
def run(attend):
    write_reviews(attend.folder / "reviews.tsv", rows=60)
    done = attend("train", "classification/minilm", "--data", "reviews.tsv", "--out", "run", *SMALL, "--json")
    assert done.status == 0, done.err
    return done.json


def test_trains_measures_and_answers(attend, run):
    measured = attend("eval", "run", "--split", "test", "--json").json
    assert measured["n"] == 12
    assert measured["metrics"]["accuracy"] == pytest.approx(run["metrics"]["test"]["accuracy"])
    said = attend("predict", "run", "the film was great", "--json").json
    assert said["label"] in ("negative", "positive") and 0.5 <= said["probability"] <= 1
    lines = attend("predict", "run", "--json", stdin="the film was great\n\nsound: 中文 😀\n").out.splitlines()
    assert json.loads(lines[0])["probability"] == pytest.approx(said["probability"], abs=1e-6)
    assert json.loads(lines[1])["label"] is None and len(lines) == 3
    layers = attend("summary", "run", "--json").json
    assert layers["parameters"] == run["parameters"]
    shown = attend("summary", "run").out
    assert "TransformerEncoderLayer × 2" in shown and "vocabulary 71" in shown


def test_its_answers_are_explained_piece_by_piece(attend, run):
    shown = attend("explain", "run", "the film was great", "--html", "page.html")
    assert shown.status == 0, shown.err
    assert "BERT 2 × 8" in (attend.folder / "page.html").read_text()
    said = attend("explain", "run", "the film was great", "--json").json
    assert said["input"] == ["the", "f", "##i", "##l", "##m", "was", "great"]
    assert [(a["name"], a["layer"], a["head"]) for a in said["attention"]] == [("self", k // 2, k % 2) for k in range(4)]
    assert all(0 < sum(row) < 1 for a in said["attention"] for row in a["weights"]), "[CLS] and [SEP] have a share"
    assert all(isinstance(x, float) for x in said["attribution"]["leave_one_out"] + said["attribution"]["gradient_x_input"])
    text = attend("explain", "run", "the film was great").out
    assert "No attention to judge" in text and "look at each other in 4 maps" in text
    assert attend("explain", "run", "--split", "test", "--count", "3").status == 0


def test_the_run_needs_the_encoder_no_more(attend):
    write_reviews(attend.folder / "reviews.tsv", rows=60)
    shutil.copytree(BERT, attend.folder / "encoder")
    small = [*SMALL, "--set", "model.pretrained=encoder"]
    assert attend("train", "classification/minilm", "--data", "reviews.tsv", "--out", "run", *small).status == 0
    shutil.rmtree(attend.folder / "encoder")
    assert attend("predict", "run", "the film was great").status == 0
    attend.fails(3, "train", "classification/minilm", "--data", "reviews.tsv", *small, names=["model.pretrained", "encoder"])


def test_the_recipe_without_its_encoder(attend):
    empty = {"ATTEND_DATA": str(attend.folder)}

    write_reviews(attend.folder / "reviews.tsv", rows=60)
    attend.fails(4, "train", "classification/minilm", "--data", "reviews.tsv", "--set", "data.extra=",
                 names=["minilm", "attend data get minilm"], env=empty)
    attend.fails(4, "summary", "classification/minilm", names=["attend data get minilm"], env=empty)
    attend.fails(3, "train", "guide/sentiment-lstm", "--data", "minilm", names=["a pretrained encoder", "labelled texts"], env=empty)


def test_the_summary_of_the_recipe(attend):
    shown = attend("summary", "classification/minilm", *SMALL[:4], "--json").json
    assert shown["layers"][0]["parameters"] == 72 * 8 and shown["vocabulary"] == 71
    attend.fails(2, "summary", "classification/minilm", *SMALL[:4], "--vocabulary", "5", names=["--vocabulary"])


@pytest.mark.skipif(not any(os.path.exists(os.path.join(d, "minilm/model.safetensors")) for d in DATA.split(":")), reason="no minilm")
def test_the_real_encoder(attend):
    layers = attend("summary", "classification/minilm", "--json").json
    assert layers["parameters"] == 22_565_376 + 385
