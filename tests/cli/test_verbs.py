"""What every verb prints: one JSON document with --json, data on stdout and log on stderr, nearest names, help.

Mutations killed: a note printed on stdout; the bar drawn without a terminal; colour on a pipe; NO_COLOR ignored;
--json missing on a verb; a train document without seconds.epochs; nearest() returning the farthest name; options
before the verb accepted in silence; status 0 when stdout is full.
"""
import json
import os
import pty
import re
import subprocess

import pytest
from conftest import PROGRAM, TINY, environment, tree, write_reviews


def verbs(document):
    """Every verb that does something, from `attend help --json`."""
    return [v for verb in document["verbs"] for v in verbs(verb)] if document["verbs"] else [document]


def test_every_verb_has_json_and_help(attend):
    done = attend("help", "--json")
    assert done.out.count("\n") == 1
    found = {verb["name"].removeprefix("attend "): verb for verb in verbs(done.json)}
    assert {"recipes", "data list", "data info", "data get", "data make", "summary", "train", "launch", "sweep", "eval", "predict",
            "explain", "import", "doctor"} <= set(found)
    assert not {"export", "serve", "bench"} & set(found)      # later parts: absent, not stubs
    for name, verb in found.items():
        assert any(o["names"] == "--json" for o in verb["options"]), name
        assert verb["help"] and verb["synopsis"].startswith("attend " + name)
        assert all(o["help"] for o in verb["options"] + verb["arguments"]), name
    assert "usage: attend train" in attend("train", "--help").out
    attend.fails(2, "serve", names="no verb 'serve'")


def one_document(done):
    assert done.status == 0, done.err
    assert done.out.endswith("\n") and done.out.count("\n") == 1, done.out[:300]
    return json.loads(done.out)


def test_json_of_looking_verbs(attend):
    recipes = one_document(attend("recipes", "--json"))["recipes"]
    assert {"name", "task", "description"} == set(recipes[0])
    assert {"guide/sentiment-lstm", "guide/sentiment-lstm-attention"} <= {r["name"] for r in recipes}
    assert one_document(attend("recipes", "guide/sentiment-lstm", "--json"))["values"]["model.hidden"] == 100
    keys = one_document(attend("recipes", "--keys", "--json"))["keys"]
    assert all(k["doc"] for k in keys)
    sets = {s["name"] for s in one_document(attend("data", "list", "--json"))["data"]}
    assert {"hutto-reviews", "uci-sentiment", "sst", "synthetic-reviews"} <= sets
    assert one_document(attend("data", "info", "sst", "--json"))["licence"]
    made = one_document(attend("data", "make", "synthetic-reviews", "--rows", "20", "--out", "d", "--json"))
    assert all((attend.folder / f).exists() for f in made["files"])
    doctor = json.loads(attend("doctor", "--json").out)
    assert doctor["kernels"]["target"] in doctor["kernels"]["available"]
    assert doctor["recipes"]["count"] == len(recipes)
    assert os.path.exists(doctor["libtorch"]["library"])
    assert doctor["hdf5"] == os.path.exists(os.path.join(os.path.dirname(PROGRAM), "attend-hdf5"))
    for shell in ("bash", "zsh", "fish"):
        assert one_document(attend("completion", shell, "--json"))["script"]
    assert one_document(attend("man", "--json"))["page"].startswith(".TH ATTEND 1")


def test_summary_counts_as_keras_does(attend):
    document = one_document(attend("summary", "guide/sentiment-lstm", "--vocabulary", "4000", "--json"))
    lstm = 4 * 100 * (32 + 100 + 1)                       # Keras: units · 4 · (input + units + 1)
    assert [layer["parameters"] for layer in document["layers"]] == [4001 * 32, lstm, 101]
    assert document["parameters"] == 4001 * 32 + lstm + 101
    text = attend("summary", "guide/sentiment-lstm", "--vocabulary", "4000").out
    assert f"{4001 * 32 + lstm + 101:,}" in text


def test_train_document_and_streams(attend):
    write_reviews(attend.folder / "r.tsv", rows=80)
    done = attend("train", "guide/sentiment-lstm-attention", "--data", "r.tsv", "--out", "run", "--seed", "3",
                  "--json", *TINY)
    document = one_document(done)
    assert document["recipe"] == "guide/sentiment-lstm-attention" and document["seed"] == 3
    assert document["epochs"] == 2 and len(document["seconds"]["epochs"]) == 2
    assert document["parameters"] > 0 and document["run"] == "run"
    for part in ("train", "validation"):
        assert {"accuracy", "loss"} <= set(document["metrics"][part])
    assert "epoch 2" in done.err and "\r" not in done.err and "\x1b" not in done.err + done.out
    assert {"config.json", "model.safetensors", "tokenizer.json", "recipe.toml", "metrics.jsonl", "README.md",
            "SHA256SUMS"} <= set(os.listdir(attend.folder / "run"))


def test_seeds_document(attend):
    write_reviews(attend.folder / "r.tsv", rows=80)
    document = one_document(attend("train", "guide/sentiment-lstm", "--data", "r.tsv", "--out", "s", "--seeds", "2",
                                   "--json", *TINY))
    accuracies = [run["metrics"]["validation"]["accuracy"] for run in document["runs"]]
    assert [run["seed"] for run in document["runs"]] == [1, 2]
    summary = document["summary"]["accuracy"]
    assert summary["n"] == 2 and summary["mean"] == pytest.approx(sum(accuracies) / 2)


def test_eval_document_adds_up(attend, trained):
    document = one_document(attend("eval", trained / "attention", "--data", trained / "reviews.tsv", "--json"))
    confusion = document["confusion"]
    assert sum(map(sum, confusion)) == document["n"] == 200
    right = confusion[0][0] + confusion[1][1]
    assert document["metrics"]["accuracy"] == pytest.approx(right / 200)
    f1 = 2 * confusion[1][1] / (2 * confusion[1][1] + confusion[0][1] + confusion[1][0])
    assert document["metrics"]["f1"] == pytest.approx(f1)
    assert sum(b["n"] for b in document["calibration"]["bins"]) == 200


def test_sweep_document_and_continuing(attend):
    write_reviews(attend.folder / "r.tsv", rows=80)
    call = ["sweep", "guide/sentiment-lstm", "--data", "r.tsv", "--grid", "optim.lr=0.001,0.05", "--grid",
            "model.embedding_width=3,4", "--out", "sweep", "--json", "--set", "model.hidden=4", "--set", "data.max_length=8",
            "--set", "train.epochs=2"]
    document = one_document(attend(*call))
    assert len(document["points"]) == 4
    settings = {(p["settings"]["optim.lr"], p["settings"]["model.embedding_width"]) for p in document["points"]}
    assert settings == {(0.001, 3), (0.001, 4), (0.05, 3), (0.05, 4)}
    scores = [p["metrics"]["accuracy"]["mean"] for p in document["points"]]
    assert scores == sorted(scores, reverse=True) and document["best"] == document["points"][0]
    before = tree(attend.folder / "sweep")
    again = one_document(attend(*call))
    assert again["points"] == document["points"]
    assert {k: v for k, v in tree(attend.folder / "sweep").items() if k.endswith("model.safetensors")} == {
        k: v for k, v in before.items() if k.endswith("model.safetensors")}


@pytest.mark.parametrize("words,names", [
    (["trian"], "did you mean 'train'?"),
    (["data", "lst"], "did you mean 'list'?"),
    (["train", "guide/sentiment-lsmt"], ["guide/sentiment-lsmt", "did you mean 'guide/sentiment-lstm'?"]),
    (["train", "guide/sentiment-lstm", "--set", "model.hiden=3"], ["model.hiden", "model.hidden"]),
    (["train", "guide/sentiment-lstm", "--sedd", "3"], ["'--sedd'", "did you mean '--seed'?"]),
    (["data", "info", "hutto-review"], ["hutto-review", "did you mean 'hutto-reviews'?"]),
    (["--json", "recipes"], ["--json", "after the verb"]),
    (["recipes", "guide/sentiment-lstm", "extra"], "extra"),
    ([], "no verb given"),
    (["data"], "VERB"),
    (["train"], "RECIPE"),
    (["train", "guide/sentiment-lstm", "--seed", "-1"], ["--seed", "whole number", "'-1'"]),
    (["train", "guide/sentiment-lstm", "--threads", "0"], ["--threads", "from 1"]),
    (["train", "guide/sentiment-lstm", "--seed"], "--seed"),
    (["train", "--resume", "x", "guide/sentiment-lstm"], "--resume"),
    (["sweep", "guide/sentiment-lstm"], "--grid"),
    (["sweep", "guide/sentiment-lstm", "--grid", "optim.lrr=1,2"], ["optim.lrr", "optim.lr"]),
])
def test_usage_errors_name_the_nearest(attend, words, names):
    attend.fails(2, *words, names=names)
    assert not os.listdir(attend.folder)


def test_unknown_data_names_the_nearest(attend):
    attend.fails(3, "train", "guide/sentiment-lstm", "--data", "hutto-reveiws", names=["hutto-reveiws", "hutto-reviews"])
    assert not (attend.folder / "runs").exists()


def test_version_and_help(attend):
    assert re.fullmatch(r"attend \d+\.\d+\.\d+\n", attend("--version").out)
    assert "train" in attend("help").out and attend("help").status == 0


def test_full_disk_behind_stdout():
    with open("/dev/full", "w") as full:
        done = subprocess.run([PROGRAM, "recipes"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 4 and b"standard output: cannot write" in done.stderr


@pytest.mark.parametrize("env,coloured", [
    ({}, False), ({"CLICOLOR_FORCE": "1"}, True), ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
])
def test_colour_on_a_pipe(attend, env, coloured):
    assert ("\x1b[" in attend("data", "list", env=env).out) == coloured


@pytest.mark.parametrize("term,coloured", [("xterm-256color", True), ("dumb", False)])
def test_colour_on_a_terminal(tmp_path, term, coloured):
    main, side = pty.openpty()
    subprocess.run([PROGRAM, "data", "list"], stdout=side, stderr=side, env=environment(tmp_path, TERM=term))
    assert (b"\x1b[" in os.read(main, 4096)) == coloured
    os.close(side)
    os.close(main)


def test_progress_bar_only_on_a_terminal(attend):
    write_reviews(attend.folder / "r.tsv", rows=80)
    main, side = pty.openpty()
    with open(attend.folder / "out", "wb") as out:
        subprocess.run([PROGRAM, "train", "guide/sentiment-lstm", "--data", "r.tsv", "--out", "run", "--json", *TINY],
                       stdout=out, stderr=side, cwd=attend.folder, env=environment(attend.folder))
    shown = os.read(main, 65536)
    assert "━".encode() in shown and b"\r" in shown
    assert json.loads((attend.folder / "out").read_text())["epochs"] == 2
    os.close(side)
    os.close(main)
