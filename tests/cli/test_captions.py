"""train, eval, predict, summary and explain of a captioner, on images of coloured shapes that are made; and what is wrong with images.
"""
import json
import math
import os
import signal
import struct
import time
import zlib

import pytest

from conftest import SOURCE, Attend
from test_verbs import one_document

SMALL = ["--threads", "1", "--seed", "1", "--set", "data.image_size=24", "--set", "model.annotation_width=16", "--set", "model.layers=2",
         "--set", "model.embedding_width=8", "--set", "model.hidden=16", "--set", "model.attention.width=8", "--set", "train.batch=16",
         "--set", "train.decode_rows=4", "--set", "optim.lr=5e-3"]


def png(width, height, rgb=(200, 30, 30)):
    rows = b"".join(b"\0" + bytes(rgb) * width for _ in range(height))
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder with 40 images of shapes in shapes/ and small runs `soft`, `hard`, `uniform` and `transformer`."""
    folder = tmp_path_factory.mktemp("captions")
    call = Attend(folder)
    done = call("data", "make", "shapes", "--rows", "40", "--size", "24", "--out", ".")
    assert done.status == 0, done.err
    for name, recipe, kind in (("soft", "soft", "soft"), ("hard", "hard", "hard"), ("uniform", "soft", "uniform")):
        done = call("train", f"captioning/{recipe}", "--data", "./shapes", *SMALL, "--set", f"model.attention.kind={kind}",
                    "--set", "train.epochs=25", "--out", name)
        assert done.status == 0, done.err
    done = call("train", "captioning/transformer", "--data", "./shapes", *SMALL[:10], "--set", "model.embedding_width=16", "--set", "model.heads=2",
                "--set", "model.feed_forward=32", "--set", "model.decoder_layers=2", "--set", "train.batch=16", "--set", "train.decode_rows=4",
                "--set", "optim.lr=5e-3", "--set", "train.epochs=25", "--out", "transformer")
    assert done.status == 0, done.err
    return call


def image(shapes):
    return sorted((shapes.folder / "shapes" / "test").glob("*.png"))[0]


def test_training_measures_what_it_says(shapes):
    results = json.loads((shapes.folder / "soft" / "results.json").read_text())
    assert results["rows"] == {"train": 32, "validation": 4, "test": 4}
    expected = {"loss", "perplexity", "exact_match", "bleu1", "bleu2", "bleu3", "bleu4", "cider", "pointing"}
    assert set(results["metrics"]["validation"]) == set(results["metrics"]["test"]) == expected
    history = [json.loads(line) for line in (shapes.folder / "soft" / "metrics.jsonl").read_text().splitlines()]
    assert history[-1]["train"]["loss"] < history[0]["train"]["loss"]
    card = (shapes.folder / "soft" / "README.md").read_text()
    assert "pipeline_tag: image-to-text" in card and "| pointing |" in card


def test_eval_repeats_the_figures_of_the_training(shapes):
    results = json.loads((shapes.folder / "soft" / "results.json").read_text())
    d = one_document(shapes("eval", "soft", "--json"))
    assert (d["split"], d["n"], d["data"]) == ("test", 4, "./shapes")
    assert d["metrics"] == pytest.approx(results["metrics"]["test"], abs=1e-6)
    text = shapes("eval", "soft", "--split", "train").out
    assert "32 images" in text and "pointing" in text
    shapes.fails(2, "eval", "soft", "--split", "all", names="no split 'all'")


def test_a_caption_is_a_document(shapes):
    name = str(image(shapes))
    d = one_document(shapes("predict", "soft", name, "--json"))
    assert set(d) == {"input", "caption", "score"} and d["input"] == name and d["score"] <= 0
    assert shapes("predict", "soft", name).out == d["caption"] + "\n"
    names = [str(p) for p in sorted((shapes.folder / "shapes" / "test").glob("*.png"))]
    done = shapes("predict", "soft", stdin="\n".join(names) + "\n")
    assert len(done.out.splitlines()) == 4 and done.out.splitlines()[0] == d["caption"], done.err


def test_summary_counts_what_was_trained(shapes):
    d = one_document(shapes("summary", "hard", "--json"))
    trained = json.loads((shapes.folder / "hard" / "results.json").read_text())
    names = [layer["name"] for layer in d["layers"]]
    assert names == ["encoder.layer0", "encoder.layer1", "initial", "embedding", "attention", "gate", "lstm", "readout", "output"]
    assert d["layers"][1]["shape"] == [-1, 6, 6, 16]
    baseline = 20 + 2   # one number for each count of words to come, which is kept but not trained
    assert sum(layer["parameters"] for layer in d["layers"]) == d["parameters"] == trained["parameters"] - baseline
    d = one_document(shapes("summary", "transformer", "--json"))
    assert [layer["name"] for layer in d["layers"]] == ["encoder.layer0", "encoder.layer1", "embedding", "memory", "transformer", "output"]
    trained = json.loads((shapes.folder / "transformer" / "results.json").read_text())
    assert sum(layer["parameters"] for layer in d["layers"]) == d["parameters"] == trained["parameters"]
    assert one_document(shapes("summary", "captioning/soft", "--json"))["parameters"] > 1e5
    shapes.fails(2, "summary", "captioning/soft", "--classes", "3", names="--classes")


@pytest.mark.parametrize("kind", ["soft", "hard", "uniform", "transformer"])
def test_explain_shows_a_map_for_each_word(shapes, kind):
    d = one_document(shapes("explain", kind, image(shapes), "--json"))
    (attention,) = d["attention"]
    words = d["output"]["tokens"]
    assert attention["side"] == 6 and len(attention["weights"]) == len(words) == len(d["gate"]) == len(d["probability"])
    for row in attention["weights"]:
        assert len(row) == 36 and sum(row) == pytest.approx(1, abs=1e-5)
    assert all(g == 1 if kind == "transformer" else 0 < g < 1 for g in d["gate"]) and all(0 < p <= 1 for p in d["probability"])
    end = d["output"]["score"] - sum(math.log(p) for p in d["probability"])   # what is left is log p of the end
    assert end <= 1e-5
    mean = [sum(column) / len(words) for column in zip(*attention["weights"])]
    bits = lambda row: -sum(p * math.log2(p) for p in row if p > 0)   # noqa: E731
    assert d["spread"] == pytest.approx(bits(mean) - sum(map(bits, attention["weights"])) / len(words), abs=1e-4)
    assert (d["warning"] is not None) == (d["spread"] < .1 and len(words) > 1)
    assert len(words) > 1, "too little trained to say anything"
    if kind == "uniform":
        assert d["spread"] == pytest.approx(0, abs=1e-9) and "hardly differ" in d["warning"]


def test_explain_files(shapes):
    done = shapes("explain", "uniform", image(shapes), "--html", "a.html", "--svg", "a.svg")
    assert done.out.split() == ["a.html", "a.svg"], done.err
    assert "hardly differ" in done.err
    page = (shapes.folder / "a.html").read_text()
    assert "default-src 'none'" in page and "data:image/png;base64," in page and "maps_alike" in page
    strip = (shapes.folder / "a.svg").read_text()
    d = one_document(shapes("explain", "uniform", image(shapes), "--json"))
    assert strip.count("<image ") == 1 + len(d["output"]["tokens"])
    done = shapes("explain", "soft", image(shapes), "--png", "a.png")
    if done.status == 0:
        assert (shapes.folder / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        assert "librsvg" in done.err
    text = shapes("explain", "soft", image(shapes)).out
    assert "P(word)" in text and "Maps of 6 × 6 places" in text and "\x1b" not in text
    shapes.fails(2, "explain", "soft", image(shapes), image(shapes), "--svg", "b.svg", names="draws one sentence")


def test_explain_of_the_data_knows_what_words_name(shapes):
    d = one_document(shapes("explain", "soft", "--split", "train", "--count", "30", "--json"))
    assert len(d["explanations"]) == 30
    for e in d["explanations"]:
        exact = e["output"]["caption"] in e["reference"]
        assert any(e["boxes"]) == exact, e["output"]
        inside = 0
        for word, box, row in zip(e["output"]["tokens"], e["boxes"], e["attention"][0]["weights"]):
            if box is None:
                continue
            place = row.index(max(row))
            x, y = (place % 6 + .5) * 4, (place // 6 + .5) * 4
            inside += box[0] <= x < box[0] + box[2] and box[1] <= y < box[1] + box[3]
        assert e["pointing"] == {"words": sum(b is not None for b in e["boxes"]), "right": inside}
    shapes.fails(2, "explain", "soft", "soft", image(shapes), names="one run at a time")
    shapes.fails(2, "explain", "soft", image(shapes), "--split", "test", names="not both")


def test_resumed_training_is_the_same_to_the_last_bit(shapes, tmp_path):
    arguments = ["train", "captioning/hard", "--data", str(shapes.folder / "shapes"), *SMALL, "--set", "train.epochs=40",
                 "--set", "train.checkpoint_seconds=0", "--set", "model.dropout=0.1"]
    attend = Attend(tmp_path)
    whole = attend(*arguments, "--out", "whole")
    assert whole.status == 0, whole.err
    process = attend.start(*arguments, "--out", "cut")
    history = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.time() + 50
    while time.time() < deadline and not (history.exists() and history.read_text().count("\n") >= 3):
        time.sleep(.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130, "it should have been interrupted, not have ended"
    done = attend("train", "--resume", "cut")
    assert done.status == 0, done.err
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()


# ---- what can be wrong with images

def captions(folder, rows):
    (folder / "captions.csv").write_text("image,caption\n" + "".join(f"{name},{text}\n" for name, text in rows))


@pytest.fixture
def folder(tmp_path):
    """Six images of two colours with captions, and the call that trains on them."""
    names = []
    for i in range(6):
        rgb, word = ((200, 30, 30), "red") if i % 2 else ((30, 30, 200), "blue")
        (tmp_path / f"{i}.png").write_bytes(png(30, 20, rgb))
        names.append((f"{i}.png", f"a {word} field"))
    captions(tmp_path, names)
    attend = Attend(tmp_path)
    train = ["train", "captioning/soft", "--data", ".", *SMALL, "--set", "data.validation=0", "--set", "train.epochs=1", "--out", "run"]
    return attend, train, names


def test_images_that_cannot_be_read_are_named_and_left_out(folder):
    attend, train, names = folder
    (attend.folder / "empty.png").write_bytes(b"")
    (attend.folder / "cut.png").write_bytes(png(30, 20)[:60])
    (attend.folder / "huge.png").write_bytes(png(1, 1)[:16] + struct.pack(">II", 100_000, 100_000) + png(1, 1)[24:])
    os.mkfifo(attend.folder / "pipe.png")
    captions(attend.folder, names + [("empty.png", "a red field"), ("cut.png", "a red field"), ("huge.png", "a red field"),
                                     ("pipe.png", "a red field"), ("missing.png", "a blue field"), ("../out.png", "a blue field")])
    done = attend(*train)
    assert done.status == 0, done.err
    notes = "\n".join(line for line in done.err.splitlines() if line.startswith("attend: note: "))
    assert "3 of 9 images could not be read and were left out" in notes
    for name in ("empty.png", "cut.png", "huge.png", "pipe.png", "missing.png", "../out.png"):
        assert name in notes, (name, notes)
    assert json.loads((attend.folder / "run" / "results.json").read_text())["rows"]["train"] == 6


def test_no_image_is_left(folder):
    attend, train, names = folder
    for name, _ in names:
        (attend.folder / name).write_bytes(b"")
    attend.fails(3, *train, names=["no image could be read", "0.png"])
    captions(attend.folder, [("gone.png", "a red field")])
    attend.fails(3, *train, names=["no caption of an image", "gone.png"])


def test_images_of_every_kind_are_described(folder):
    attend, train, _ = folder
    assert attend(*train).status == 0
    (attend.folder / "one.png").write_bytes(png(1, 1))
    assert one_document(attend("predict", "run", "one.png", "--json"))["input"] == "one.png"
    d = one_document(attend("explain", "run", "one.png", "--json"))
    assert d["input"]["size"] == [1, 1]
    assert attend("explain", "run", "one.png", "--html", "one.html", "--svg", "one.svg").status == 0
    given = json.loads((SOURCE / "tests" / "golden" / "images.json").read_text())["images"]   # CMYK, 16 bits, alpha, interlaced, …
    for one in given:
        (attend.folder / one["name"]).write_bytes(bytes.fromhex(one["file"]))
    done = attend("predict", "run", "--json", stdin="".join(one["name"] + "\n" for one in given))
    assert done.status == 0, done.err
    assert [json.loads(line)["input"] for line in done.out.splitlines()] == [one["name"] for one in given]
    os.mkfifo(attend.folder / "pipe.png")
    (attend.folder / "empty.png").write_bytes(b"")
    attend.fails(4, "predict", "run", "pipe.png", names="pipe.png")
    attend.fails(4, "predict", "run", "gone.png", names="gone.png")
    attend.fails(3, "predict", "run", "empty.png", names="empty.png")
    attend.fails(3, "explain", "run", "empty.png", names="empty.png")
    done = attend("predict", "run", stdin="0.png\nempty.png\n1.png\n")
    assert done.status == 3 and len(done.out.splitlines()) == 1, "what came before the bad image is answered"


def test_settings_that_make_no_sense(folder):
    attend, train, _ = folder
    attend.fails(2, *train, "--set", "data.image_size=25", names=["data.image_size is 25", "model.stride = 4"])
    attend.fails(2, *train, "--set", "model.stride=5", names="model.stride is 5")
    attend.fails(2, *train, "--set", "model.layers=1", names="model.layers is 1")
    attend.fails(2, *train, "--set", "data.source=en", names="data.source is a key of translation")
    attend.fails(2, *train, "--set", "train.early_stopping.metric=bleu", names="captioning recipe has no such metric")
    attend.fails(3, *train, "--set", "data.max_tokens=2", names="as short as data.max_tokens")
    attend.fails(2, "train", "translation/bahdanau", "--set", "data.image_size=24", names="data.image_size is a key of captioning")
    assert not (attend.folder / "run").exists()
