"""Runs that draw images, from training to film strip, on generated images; and on mnist where it is."""
import gzip
import json
import math
import os
import pathlib
import struct
import zlib

import pytest
from conftest import DATA, Attend

TINY = ["--set", "model.hidden=6", "--set", "model.latent=3", "--set", "model.steps=4", "--set", "train.epochs=2", "--set", "train.batch=8",
        "--set", "data.validation=0.2", "--set", "data.test=0.2", "--threads", "1"]


def write_png(path, height, width, grey, seed):
    """A PNG file, without a library."""
    state, rows = seed * 7919 + 1, b""
    for _ in range(height):
        rows += b"\0"
        for _ in range(width * (1 if grey else 3)):
            state = (state * 1103515245 + 12345) % (1 << 31)
            rows += bytes([state >> 16 & 255])
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if grey else 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def size_of(path):
    return struct.unpack(">II", pathlib.Path(path).read_bytes()[16:24])


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A folder with images and three small runs."""
    folder = tmp_path_factory.mktemp("drawn")
    for name, grey in (("grey", True), ("colour", False)):
        (folder / name).mkdir()
        for i in range(20):
            write_png(folder / name / f"{i:02}.png", 7, 6, grey, i)
    call = Attend(folder)
    for run, recipe, data, more in (("digits", "generation/draw", "grey", []), ("whole", "generation/draw-no-attention", "grey", []),
                                    ("photos", "generation/draw", "colour", ["--set", "model.output=gaussian", "--set", "data.binarise=none"])):
        done = call("train", recipe, "--data", data, "--out", run, *more, *TINY)
        assert done.status == 0, done.err
    return folder


@pytest.fixture
def at(drawn):
    return Attend(drawn)


def test_train_tells_the_bound_in_nats(at):
    for line in (at.folder / "digits/metrics.jsonl").read_text().splitlines():
        for part in ("train", "validation"):
            m = json.loads(line)[part]
            assert m["elbo_nats"] == pytest.approx(m["reconstruction_nats"] + m["kl_nats"]) == m["loss"]
    assert json.loads((at.folder / "digits/config.json").read_text())["model_type"] == "attend-draw"


def test_eval_with_and_without_the_likelihood(at):
    for run in ("digits", "whole", "photos"):
        plain = at("eval", run, "--json").json
        assert plain["split"] == "test" and plain["n"] == 4
        low, high = plain["elbo_interval"]
        assert low < plain["metrics"]["elbo_nats"] < high
        more = at("eval", run, "--json", "--samples", "50", "--images", "3").json
        assert more["likelihood"] == {"samples": 50, "images": 3} and "log_likelihood_nats" in more["metrics"]
        assert more["metrics"]["elbo_nats"] == plain["metrics"]["elbo_nats"]
    assert "nats" in at("eval", "digits", "--split", "validation").out
    at.fails(2, "eval", "digits", "--split", "all", names="no split 'all'")
    at.fails(3, "eval", "digits", "--data", "colour", names=["images of 3 x 7 x 6", "digits"])


def test_predict_draws_a_sheet_of_samples(at, tmp_path):
    first = at("predict", "digits", "--json", "--count", "10", "--out", tmp_path / "a.png")
    assert first.json == {"image": str(tmp_path / "a.png"), "count": 10, "seed": 1}
    assert size_of(tmp_path / "a.png") == (4 * 7 + 1, 3 * 8 + 1)   # three rows of four
    for name, seed in (("b", "1"), ("c", "2")):
        assert at("predict", "digits", "--count", "10", "--seed", seed, "--out", tmp_path / f"{name}.png").status == 0
    a, b, c = ((tmp_path / f"{n}.png").read_bytes() for n in "abc")
    assert a == b != c
    at.fails(2, "predict", "digits", "a sentence", names="takes no input")
    at.fails(4, "predict", "digits", "--out", tmp_path / "missing/a.png", names="missing")


def test_explain_writes_strip_page_and_numbers(at, tmp_path):
    for run, windows in (("digits", True), ("whole", False), ("photos", True)):
        document = at("explain", run, "test:1", "--json").json
        assert document["schema"] == "attend.explain/1" and len(document["steps"]) == 4
        output = document["output"]
        assert output["elbo_nats"] == pytest.approx(output["reconstruction_nats"] + output["kl_nats"])
        assert output["kl_nats"] == pytest.approx(sum(s["kl_nats"] for s in document["steps"]), rel=1e-5)
        for step in document["steps"]:
            for which in ("read", "write"):
                assert (step[which] is not None) == windows
        done = at("explain", run, "test:1", "--png", tmp_path / "s.png", "--html", tmp_path / "s.html")
        assert done.out.split() == [str(tmp_path / "s.html"), str(tmp_path / "s.png")]
        assert size_of(tmp_path / "s.png") == (5 * (6 * 16 + 8) + 8, 7 * 16 + 16)   # the input and four steps
        page = (tmp_path / "s.html").read_text()
        assert "How the picture was painted" in page and "http:" not in page.replace("http://www.w3.org", "")
    assert "bound" in at("explain", "digits", "grey/03.png").out
    assert at("explain", "digits", "test:0", "--apng", tmp_path / "film.png").status == 0
    film = (tmp_path / "film.png").read_bytes()
    assert film.count(b"fcTL") == 4 + 9 and size_of(tmp_path / "film.png") == (2 * (6 * 32 + 8) + 8, 7 * 32 + 16)   # the last one stays


def test_summary_of_recipe_and_run(at):
    table = at("summary", "generation/draw", "--json").json
    assert [layer["name"] for layer in table["layers"]] == ["canvas", "read", "encoder", "latent", "decoder", "write"]
    assert table["parameters"] == 784 + 5 * 257 + 4 * 256 * (8 + 256 + 256 + 1) + 512 + 200 * 257 + 4 * 256 * (100 + 256 + 1) + 512 + 30 * 257
    run = at("summary", "digits", "--json").json
    assert run["parameters"] == json.loads((at.folder / "digits/results.json").read_text())["parameters"]
    assert (run["height"], run["width"], run["channels"]) == (7, 6, 1)


def test_bad_input_is_named(at, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.txt").write_text("x")
    at.fails(3, "train", "generation/draw", "--data", tmp_path / "empty", "--out", tmp_path / "r", names=["empty", "holds no PNG or JPEG"])
    two = tmp_path / "two"
    two.mkdir()
    write_png(two / "a.png", 4, 4, True, 1), write_png(two / "b.png", 4, 5, True, 1)
    at.fails(3, "train", "generation/draw", "--data", two, "--out", tmp_path / "r", names=["b.png: 4 x 5", "data.image_size"])
    os.mkfifo(two / "pipe.png")
    (two / "b.png").unlink(), write_png(two / "c.png", 4, 4, True, 2), write_png(two / "d.png", 4, 4, True, 3)
    done = at("train", "generation/draw", "--data", two, "--out", tmp_path / "r", *TINY, "--set", "data.test=0")
    assert done.status == 0 and "1 files" in done.err
    for key, range_ in (("model.steps", "1 to 4096"), ("model.attention.read_size", "1 to 256"), ("model.latent", "1 to 65536")):
        at.fails(2, "train", "generation/draw", "--set", f"{key}=0", names=[key, range_])
    at.fails(2, "explain", "digits", names="PART:NUMBER")
    at.fails(2, "explain", "digits", "test:99", names="0 to 3")
    at.fails(2, "explain", "digits", "tset:0", names="'test'")
    at.fails(4, "explain", "digits", "nothing.png", names="nothing.png")
    at.fails(4, "explain", "digits", two / "pipe.png", names="pipe.png")
    at.fails(2, "explain", "digits", "test:0", "--svg", "x.svg", names="--png or --html")
    at.fails(2, "predict", "digits", "--count", "0", names="--count")
    assert not (tmp_path / "x.svg").exists()


def test_options_of_images_are_refused_elsewhere(trained):
    call = Attend(trained)
    call.fails(2, "predict", "plain", "x", "--count", "3", names="draw images")
    call.fails(2, "eval", "plain", "--samples", "3", names="draw images")
    call.fails(2, "explain", "plain", "x", "--apng", "a.png", names="draws")


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with a small `mnist` in data/, made of noise, of which cluttered-mnist is made; and a run on it."""
    folder = tmp_path_factory.mktemp("two-digits")
    (folder / "data/mnist").mkdir(parents=True)
    for part, count in (("train", 40), ("t10k", 20)):
        pixels = bytes((i * 7919 + i // 64 * 104729) % 251 + 1 for i in range(count * 64))
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 8, 8) + pixels
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(i % 10 for i in range(count))
        (folder / f"data/mnist/{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"data/mnist/{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    call = Attend(folder)
    env = {"ATTEND_DATA": str(folder / "data")}
    done = call("data", "make", "cluttered-mnist", "--rows", "60", "--size", "24", "--clutter", "2", "--seed", "5", "--out", "made", env=env)
    assert done.status == 0, done.err
    assert done.out.split() == [f"made/cluttered-mnist/{part}-{what}-ubyte" for part in ("train", "t10k")
                                for what in ("boxes-idx3", "labels-idx2", "images-idx3")]
    done = call("train", "generation/draw-two-digits", "--data", "made/cluttered-mnist", "--out", "run", *TINY, env=env)
    assert done.status == 0, done.err
    return folder


def idx(path):
    """Lengths and bytes of an IDX file."""
    raw = pathlib.Path(path).read_bytes()
    return struct.unpack(f">{raw[3]}I", raw[4:4 + 4 * raw[3]]), raw[4 + 4 * raw[3]:]


def test_two_digits_are_made(digits):
    made = digits / "made/cluttered-mnist"
    for part, count in (("train", 54), ("t10k", 6)):
        assert idx(made / f"{part}-images-idx3-ubyte")[0] == (count, 24, 24)
        assert idx(made / f"{part}-labels-idx2-ubyte")[0] == (count, 2)
        lengths, boxes = idx(made / f"{part}-boxes-idx3-ubyte")
        assert lengths == (count, 2, 4) and set(boxes[2::4]) == set(boxes[3::4]) == {8}
    call, env = Attend(digits), {"ATTEND_DATA": str(digits / "data")}
    info = call("data", "info", "cluttered-mnist", "--json", env=env).json
    assert info["folder"] == "generated" and info["balance"]["cluttered-mnist test"] == "200 images of 60 × 60 pixels, 10 classes"
    listed = {s["name"]: s for s in call("data", "list", "--json", env=env).json["data"]}
    assert listed["cluttered-mnist"]["task"] == "generation" and listed["cluttered-mnist"]["generated"]
    call.fails(2, "data", "make", "cluttered-mnist", "--digits", "17", "--out", "x", env=env, names="--digits")
    call.fails(2, "data", "make", "cluttered-mnist", "--rows", "9", "--out", "x", env=env, names=["cluttered-mnist: rows is 9", "10…100000"])
    call.fails(3, "data", "make", "cluttered-mnist:letters", "--out", "x", env=env, names=["cluttered-mnist:letters", "cluttered-mnist:fashion-mnist"])


def test_two_digits_without_mnist(attend):
    nowhere = {"ATTEND_DATA": str(attend.folder)}
    for args in (("data", "make", "cluttered-mnist", "--out", "x"), ("train", "generation/draw-two-digits", "--out", "x")):
        attend.fails(4, *args, env=nowhere, names=["data set 'mnist' is not on this machine", "train-images-idx3-ubyte.gz", "attend data info mnist"])
    assert "no; it is made from mnist" in attend("data", "info", "cluttered-mnist", env=nowhere).out
    listed = attend("data", "list", env=nowhere).out.splitlines()
    assert [line.split()[2] for line in listed if line.startswith("cluttered-mnist")] == ["no"]
    assert not (attend.folder / "x").exists()


def test_two_digits_by_name(digits):
    """Made anew for each verb that needs them, always the same ones: not a file is written."""
    call, env = Attend(digits), {"ATTEND_DATA": str(digits / "data")}
    size = ["--set", "data.image_size=20", "--set", "data.images=40"]
    assert call("train", "generation/draw-two-digits", "--out", "named", *size, *TINY, env=env).status == 0
    assert json.loads((digits / "named/config.json").read_text())["height"] == 20
    plain = call("eval", "named", "--json", env=env).json
    assert (plain["data"], plain["n"]) == ("cluttered-mnist", 4)
    trained = json.loads((digits / "named/results.json").read_text())["metrics"]["test"]
    assert plain["metrics"]["elbo_nats"] == pytest.approx(trained["elbo_nats"], rel=1e-9)
    assert "% of the read window, a mean over steps" in call("explain", "named", "test:3", env=env).out


def share(window, n, size, boxes, x, y):
    """The weight that N x N Gaussians around (x, y) have within the boxes: loops over equations 25 and 26 of the paper."""
    def axis(centre):
        out = [0.0] * size
        for i in range(n):
            mean = centre + (i - (n - 1) / 2) * window["stride"]
            row = [math.exp(-((a - mean) ** 2 - (min(max(round(mean), 0), size - 1) - mean) ** 2) / (2 * window["sigma"] ** 2)) for a in range(size)]
            out = [o + r / sum(row) / n for o, r in zip(out, row)]
        return out
    across, down = axis(x), axis(y)
    covered = {(b, a) for left, top, width, height in boxes for b in range(top, top + height) for a in range(left, left + width)}
    return sum(down[b] * across[a] for b, a in covered)


def test_explain_says_what_lies_on_the_digits(digits, tmp_path):
    call = Attend(digits)
    boxes = idx(digits / "made/cluttered-mnist/t10k-boxes-idx3-ubyte")[1]
    for row in (0, 4):
        of_row = [tuple(boxes[8 * row + 4 * k:8 * row + 4 * k + 4]) for k in range(2)]
        document = call("explain", "run", f"test:{row}", "--json").json
        for which in ("read", "write"):
            measured = [s[which]["on_objects"] for s in document["steps"]]
            means = {part: sum(m[part] for m in measured) / 4 for part in ("share", "chance", "middle")}
            assert document["on_objects"][which] == pytest.approx(means, rel=1e-9)
            w = document["steps"][1][which]
            by_chance = sum(share(w, 12, 24, of_row, x, y) for x in range(24) for y in range(24)) / 24**2
            expected = {"share": share(w, 12, 24, of_row, w["x"], w["y"]), "chance": by_chance, "middle": share(w, 12, 24, of_row, 11.5, 11.5)}
            assert measured[1] == pytest.approx(expected, rel=1e-9)
    text = call("explain", "run", "test:4").out
    assert "read on" in text and "write on" in text and f"{100 * document['on_objects']['write']['share']:.0f} % of the write window" in text
    assert call("explain", "run", "test:4", "--html", tmp_path / "s.html").status == 0
    page = (tmp_path / "s.html").read_text()
    assert "on_objects" in page
    # Nothing is known of an image that is a file, nor of sets without boxes.
    write_png(tmp_path / "a.png", 24, 24, True, 1)
    assert "on_objects" not in call("explain", "run", tmp_path / "a.png", "--json").out
    assert "objects" not in call("explain", "run", tmp_path / "a.png").out


@pytest.mark.skipif(not (pathlib.Path(DATA.split(":")[0]) / "mnist").is_dir(), reason="needs mnist in the folder of ATTEND_DATA")
def test_a_few_steps_on_mnist(attend):
    small = ["--set", "data.validation=0.9", "--set", "model.steps=4", "--set", "model.hidden=32", "--set", "model.latent=8",
             "--set", "train.epochs=2", "--set", "train.batch=50", "--threads", "2"]
    done = attend("train", "generation/draw", "--json", "--out", "run", *small, timeout=300)
    assert done.status == 0, done.err
    metrics = done.json["metrics"]
    assert metrics["test"]["elbo_nats"] < 250   # pixels drawn apart from each other with their means: 207
    assert attend("explain", "run", "test:0", "--png", "strip.png").status == 0
