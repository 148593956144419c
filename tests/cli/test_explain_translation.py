"""attend explain and summary of a translator, on number-words, whose truth is known: digits come from words."""
import json

import pytest

from conftest import Attend
from test_verbs import one_document

SMALL = ["--data", "number-words", "--threads", "1", "--seed", "1", "--set", "data.tokens=words", "--set", "model.hidden=16",
         "--set", "model.embedding_width=8", "--set", "model.attention.width=8", "--set", "train.epochs=6", "--set", "train.decode_rows=5",
         "--set", "optim.lr=1e-2", "--set", "train.batch=32"]
SENTENCE = "three hundred and five thousand six"


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A folder with a small run, `nw`: trained enough to write digits."""
    folder = tmp_path_factory.mktemp("numbers")
    done = Attend(folder)("train", "translation/bahdanau", *SMALL, "--out", "nw", timeout=300)
    assert done.status == 0, done.err
    return Attend(folder)


def test_the_document(numbers):
    d = one_document(numbers("explain", "nw", SENTENCE, "--json"))
    assert d["schema"] == "attend.explain/1" and d["run"] == "nw" and d["input"] == SENTENCE.split()
    (cross,) = d["attention"]
    assert (cross["name"], cross["layer"], cross["head"]) == ("cross", 0, 0)
    assert cross["key"] == d["input"] and cross["query"] == d["output"]["tokens"]
    assert len(cross["weights"]) == len(cross["query"])
    for row in cross["weights"]:
        assert len(row) == len(cross["key"]) and sum(row) == pytest.approx(1, abs=1e-5)
    by_target = d["attribution"]["leave_one_out_by_target"]
    assert d["attribution"]["leave_one_out"] == [pytest.approx(sum(row[s] for row in by_target), abs=1e-9) for s in range(6)]
    assert set(d["agreement"]["attention_leave_one_out"]) == {"tau", "chance", "band"}
    assert d["agreement"]["compared"] == len(cross["query"])
    predicted = json.loads(numbers("predict", "nw", SENTENCE, "--json").out)
    assert d["output"]["translation"] == predicted["translation"] and d["output"]["score"] == predicted["score"]
    assert d["output"]["alignment"] == predicted["alignment"]


def test_every_output_token_has_its_pair(numbers):
    d = one_document(numbers("explain", "nw", SENTENCE, "--json"))
    words = [t for t in d["output"]["tokens"] if t != "</s>"]
    assert [t for _, t in d["output"]["alignment"]] == list(range(len(words)))
    for s, t in d["output"]["alignment"]:
        row = d["attention"][0]["weights"][t]
        assert row[s] == max(row)


def test_leave_one_out_is_what_the_log_probability_loses(numbers):
    """Σ log p of the given output is the search's own figure: the score has it divided by the length penalty."""
    d = one_document(numbers("explain", "nw", SENTENCE, "--json"))
    n = len(d["output"]["tokens"])
    assert d["output"]["log_probability"] == pytest.approx(d["output"]["score"] * (5 + n) / 6, rel=1e-4)


def test_the_terminal_shows_the_grid(numbers):
    done = numbers("explain", "nw", SENTENCE)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    head = next(line for line in lines if line.split() == SENTENCE.split())
    d = one_document(numbers("explain", "nw", SENTENCE, "--json"))
    for token, line in zip(d["output"]["tokens"], lines[lines.index(head) + 1:]):
        assert line.split()[0] == token and len(line.split()) == 7
    assert "word pairs: " in done.out and "leave-one-out, nats" in done.out and "\x1b" not in done.out
    assert "\x1b[48;2;" in numbers("explain", "nw", SENTENCE, env={"CLICOLOR_FORCE": "1", "COLORTERM": "truecolor"}).out


def test_files(numbers):
    done = numbers("explain", "nw", SENTENCE, "--html", "a.html", "--svg", "a.svg")
    assert done.out.split() == ["a.html", "a.svg"], done.err
    page = (numbers.folder / "a.html").read_text()
    assert "default-src 'none'" in page and "attend.explain/1" in page
    assert "<svg" in (numbers.folder / "a.svg").read_text()
    done = numbers("explain", "nw", SENTENCE, "--png", "a.png")
    if done.status == 0:
        assert (numbers.folder / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        assert "librsvg" in done.err
    numbers.fails(2, "explain", "nw", "one", "two", "--svg", "b.svg", names=["--svg", "draws one sentence", "2"])
    assert not (numbers.folder / "b.svg").exists()


def test_sentences_of_the_data(numbers):
    d = one_document(numbers("explain", "nw", "--split", "test", "--count", "3", "--json"))
    assert len(d["explanations"]) == 3 and d["explanations"][0]["attention"][0]["weights"]
    assert "taken evenly" in (numbers("explain", "nw", "--split", "test", "--count", "2", "--html", "t.html"),
                              (numbers.folder / "t.html").read_text())[1]


def test_one_word_and_bad_input(numbers):
    d = one_document(numbers("explain", "nw", "seven", "--json"))
    assert d["attribution"]["leave_one_out"] == [None] and d["agreement"]["verdict"] == "one_word"
    numbers.fails(3, "explain", "nw", " ", names="sentence 1 is empty")
    numbers.fails(3, "explain", "nw", "one " * 101, names=["sentence 1", "101 tokens"])
    numbers.fails(2, "explain", "nw", names="no input")
    numbers.fails(2, "explain", "nw", "nw", "one", names=["'nw'", "one run at a time"])
    numbers.fails(2, "explain", "nw", "one", "--split", "test", names="not both")


def test_summary_of_run_and_recipe(numbers):
    d = one_document(numbers("summary", "nw", "--json"))
    assert [layer["name"] for layer in d["layers"]] == [
        "encoder.embedding", "encoder.gru", "decoder.initial", "decoder.embedding", "attention", "decoder.gru", "readout", "output"]
    trained = json.loads((numbers.folder / "nw" / "results.json").read_text())
    assert d["parameters"] == trained["parameters"] == sum(layer["parameters"] for layer in d["layers"])
    assert d["layers"][1]["shape"] == [-1, 100, 32] and d["target_vocabulary"] == d["layers"][-1]["shape"][2]
    for recipe in ["bahdanau", "rnnenc", "luong-global", "luong-local-m", "luong-local-p", "transformer"]:
        d = one_document(numbers("summary", f"translation/{recipe}", "--json"))
        assert d["parameters"] == sum(layer["parameters"] for layer in d["layers"]) > 1e6
    text = numbers("summary", "translation/luong-global", "--vocabulary", "500").out
    assert "encoder.lstm" in text and "vocabularies 500 and 500" in text
    numbers.fails(2, "summary", "translation/bahdanau", "--classes", "3", names="--classes")


def test_int8_is_for_a_transformer(numbers):
    for verb in (["predict", "nw", "one"], ["eval", "nw"]):
        numbers.fails(2, *verb, "--precision", "int8", names=["int8", "Transformer"])
    numbers.fails(2, "predict", "nw", "one", "--precision", "int9", names=["--precision", "int8"])
    done = numbers("train", "translation/transformer", *SMALL[:6], "--set", "data.tokens=words", "--set", "model.embedding_width=16",
                   "--set", "model.layers=1", "--set", "train.epochs=1", "--set", "train.decode_rows=5", "--out", "tf", timeout=300)
    assert done.status == 0, done.err
    plain, quantised = (one_document(numbers("eval", "tf", "--precision", p, "--json"))["metrics"] for p in ("float32", "int8"))
    assert plain["loss"] == quantised["loss"]  # of the modules
    assert quantised["bleu"] == pytest.approx(plain["bleu"], abs=5)
    scores = [json.loads(numbers("predict", "tf", SENTENCE, "--precision", p, "--json").out)["score"] for p in ("float32", "int8")]
    assert scores[0] != scores[1] and scores[0] == pytest.approx(scores[1], abs=0.1)


def test_eval_has_the_interval_and_the_lengths(numbers):
    d = one_document(numbers("eval", "nw", "--json"))
    low, high = d["bleu_interval"]
    assert low <= d["metrics"]["bleu"] <= high
    assert sum(part["n"] for part in d["by_length"]) == d["n"]
    assert all(part["to"] == part["from"] + 4 for part in d["by_length"])


def test_eval_against_another_run(numbers):
    done = numbers("train", "translation/rnnenc", *SMALL[:4], "--seed", "2", "--set", "data.tokens=words", "--set", "model.hidden=8",
                   "--set", "model.embedding_width=8", "--set", "train.epochs=1", "--set", "train.decode_rows=5", "--out", "other", timeout=300)
    assert done.status == 0, done.err
    d = one_document(numbers("eval", "nw", "--against", "other", "--json"))
    alone = one_document(numbers("eval", "other", "--json"))["metrics"]["bleu"]
    assert d["against"]["run"] == "other" and d["against"]["bleu"] == pytest.approx(alone, abs=1e-9)
    assert d["against"]["difference"] == pytest.approx(alone - d["metrics"]["bleu"], abs=1e-9)
    assert 0 < d["against"]["p"] < 0.05  # one epoch against six: it cannot be chance
    itself = numbers("eval", "nw", "--against", "nw")
    assert itself.status == 0 and "nw: bleu" in itself.out and "the same" in itself.out
