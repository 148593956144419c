"""Sets for translation and language models on the command line."""
import json
import os

import pytest

from conftest import DATA


def test_made_pairs(attend):
    for name, folder in (("number-words", "number-words"), ("number-words:to-words", "number-words"), ("dates", "dates")):
        done = attend("data", "make", name, "--rows", "100", "--out", "made", "--json")
        assert done.status == 0, done.err
        files = json.loads(done.out)["files"]
        assert files == [f"made/{folder}/{part}.tsv" for part in ("train", "validation", "test")]
        lines = (attend.folder / files[0]).read_text(encoding="utf-8").splitlines()
        assert lines[0] == "source\ttarget\talignment" and len(lines) == 81
    info = json.loads(attend("data", "info", "dates", "--json").out)
    assert list(info["balance"]) == ["dates test", "dates train", "dates validation"]
    attend.fails(3, "data", "make", "dates:us", "--out", "made", names="dates:us")
    attend.fails(2, "data", "make", "dates", "--rows", "60000", "--out", "made", names=["dates: rows is 60000", "10…50000"])


def test_made_images(attend):
    done = attend("data", "make", "shapes", "--rows", "20", "--size", "32", "--out", "made", "--json")
    assert done.status == 0, done.err
    files = json.loads(done.out)["files"]
    assert files == [f"made/shapes/{part}/captions.json" for part in ("train", "validation", "test")]
    train = json.loads((attend.folder / files[0]).read_text(encoding="utf-8"))
    assert len(train["images"]) == 16 and train["images"][0]["width"] == 32
    assert (attend.folder / "made/shapes/train" / train["images"][0]["file_name"]).read_bytes().startswith(b"\x89PNG")
    regions = train["annotations"][0]["regions"]
    words = train["annotations"][0]["caption"].split()
    assert words[regions[0]["word"]] in ("red", "green", "blue", "yellow", "purple", "white") and len(regions[0]["bbox"]) == 4
    attend.fails(2, "data", "make", "shapes", "--size", "23", "--out", "made", names="--size")


def test_info_counts_images(attend):
    for name, part, text in (("coco-mini", "coco-mini train", "80 images, 400 captions, "),
                             ("mnist", "mnist test", "10000 images of 28 × 28 pixels, 10 classes")):
        if not os.path.isdir(os.path.join(DATA, name)):
            pytest.skip("no data: set ATTEND_DATA to a folder with " + name)
        assert json.loads(attend("data", "info", name, "--json").out)["balance"][part].startswith(text)


def test_sets_that_cannot_be_fetched(attend, tmp_path):
    nowhere = {"ATTEND_DATA": str(tmp_path)}
    for name in ("multi30k", "tinyshakespeare", "war-and-peace", "coco-mini", "mnist"):
        attend.fails(4, "data", "get", name, env=nowhere, names=[name, "cannot be fetched", "ATTEND_DATA"])
        info = attend("data", "info", name, "--json", env=nowhere)
        assert json.loads(info.out)["folder"] is None and not json.loads(info.out)["fetchable"]
        assert "it cannot be fetched" in attend("data", "info", name, env=nowhere).out
    attend.fails(3, "train", "guide/sentiment-lstm", "--data", "dates", names="holds sentence pairs")


def test_info_counts_pairs(attend):
    if not os.path.isdir(os.path.join(DATA, "multi30k")):
        pytest.skip("no data: set ATTEND_DATA to a folder with multi30k")
    balance = json.loads(attend("data", "info", "multi30k", "--json").out)["balance"]
    assert balance["multi30k train"].startswith("29000 pairs, ")
