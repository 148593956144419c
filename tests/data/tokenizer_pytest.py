"""Our tokenizer beside Python's str.lower, Keras' rule spelled out in Python, and `tokenizers`.

Killed mutations: Turkish lower-casing; leaving out the final-sigma step of tokenizer.json; a filter
class without escapes; WhitespaceSplit instead of Split on ' '; [PAD] reachable from text.
"""
import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest
import tokenizers

PROBE = os.environ["ATTEND_DATA_PROBE"]
DATA = os.environ.get("ATTEND_DATA") or os.path.join(os.environ["ATTEND_SOURCE"], "..", "shared", "data")
FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


class Probe:
    def __init__(self):
        self.process = subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer


@pytest.fixture(scope="module")
def probe():
    running = Probe()
    yield running
    running.process.stdin.close()
    running.process.wait()


def assigned(point):
    """Characters of Python's Unicode; the package may know newer letters."""
    return not 0xD800 <= point <= 0xDFFF and unicodedata.category(chr(point)) != "Cn"


ALL = [chr(p) for p in range(1, 0x110000) if assigned(p) and not 0xF0000 <= p and not 0xE000 <= p <= 0xF8FF]


def keras_words(text, filters=FILTERS, lower=True, split=" "):
    if lower:
        text = text.lower()
    text = text.translate(str.maketrans({c: split for c in filters}))
    return [word for word in text.split(split) if word]


def random_text(rng):
    pool = rng.choice([
        "abcXYZ  ",
        "ab \t\n.,-!'[]\\^&~|{}\"",
        "ΣσςΑα.'\u00ad\u0301 ",
        "İıIiŞßẞ\u0307\u0130 ",
        "a\u00a0b\u3000c\u2028\u0085\x0b\x0c\r\x1c\x1d d",
        "▁[PAD]<oov>␣unused 1",
        "😀👩\u200d👩\ufe0f\u0300 e",
        None,
    ])
    n = rng.randrange(0, 24)
    if pool is None:
        return "".join(rng.choice(ALL) if rng.random() < 0.7 else " " for _ in range(n))
    return "".join(rng.choice(pool) for _ in range(n))


def test_lower_case_is_pythons_for_every_character(probe):
    texts = ["".join(ALL[i:i + 1]) for i in range(len(ALL))]
    assert probe(act="lower", texts=texts)["texts"] == [t.lower() for t in texts]


def test_lower_case_is_pythons_around_sigma(probe):
    around = ["", "a", "Α", ".", "'", " ", "1", "\u0301", "\u00ad", "Σ", "ʰ", "中", "😀", "\u0345", "ⓐ"]
    texts = [a + b + "Σ" + c + d for a in around for b in around for c in around for d in around]
    assert probe(act="lower", texts=texts)["texts"] == [t.lower() for t in texts]


OPTIONS = [
    {},
    {"oov_token": "<OOV>"},
    {"num_words": 5},
    {"num_words": 5, "oov_token": "<OOV>"},
    {"num_words": 1, "oov_token": "<OOV>"},
    {"lower": False},
    {"lower": False, "filters": "", "oov_token": "[UNK]"},
    {"filters": ""},
    {"filters": "^-]\\&[az", "oov_token": "nothing"},
    {"split": "ab", "filters": ".,"},
    {"split": "▁"},
    {"split": "\u0085", "oov_token": "a"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=[json.dumps(o) for o in OPTIONS])
def test_random_texts_get_the_same_ids_everywhere(probe, options):
    rng = random.Random(7)
    texts = [random_text(rng) for _ in range(3000)]
    fitted = texts[:1000]
    ours = probe(act="fit", options=options, texts=fitted, also=texts)
    plain = {k: v for k, v in options.items() if k in ("filters", "lower", "split")}
    for text, tokens in zip(texts, ours["tokens"]):
        assert [t[0] for t in tokens] == keras_words(text, **plain)
    package = tokenizers.Tokenizer.from_str(ours["json"])
    encoded = [package.encode(t).ids for t in texts]
    assert encoded == ours["sequences"]
    again = probe(act="encode", json=ours["json"], texts=texts)
    assert again["sequences"] == ours["sequences"]


def test_uci_sentences_get_the_same_ids(probe):
    folder = os.path.join(DATA, "uci-sentiment")
    if not os.path.isdir(folder):
        pytest.skip("no data: set ATTEND_DATA to a folder with uci-sentiment")
    texts = []
    for name in ("amazon_cells", "imdb", "yelp"):
        with open(os.path.join(folder, name + "_labelled.txt"), encoding="utf-8", newline="\n") as file:
            texts += [line.rsplit("\t", 1)[0] for line in file.read().split("\n") if line]
    assert len(texts) == 3000
    for options in ({}, {"num_words": 1000, "oov_token": "<OOV>"}):
        ours = probe(act="fit", options=options, texts=texts[:2000], also=texts)
        package = tokenizers.Tokenizer.from_str(ours["json"])
        assert [package.encode(t).ids for t in texts] == ours["sequences"]


def test_places_point_into_the_original(probe):
    rng = random.Random(11)
    texts = [random_text(rng) for _ in range(2000)]
    ours = probe(act="fit", options={}, texts=texts)
    for text, tokens in zip(texts, ours["tokens"]):
        raw = text.encode()
        last = 0
        for word, begin, end in tokens:
            assert last <= begin < end <= len(raw)
            piece = raw[begin:end].decode()   # fails inside a character
            # A Σ at the end of a piece is final or not by what follows it in the whole text.
            assert piece.lower().replace("ς", "σ") == word.replace("ς", "σ")
            last = end


def test_padding_and_counts_in_the_file(probe):
    ours = probe(act="fit", options={"filters": "", "lower": False, "oov_token": "?"}, texts=["[PAD] [PAD] b"])
    vocab = json.loads(ours["json"])["model"]["vocab"]
    assert sorted(vocab.values()) == list(range(len(vocab)))
    assert vocab["[PAD]"] == 2 and vocab["?"] == 1


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
