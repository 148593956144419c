"""Writes text_keras.json: what Keras' own text pipeline gives. Only to be run again when a case is added:
    bench/peers/.venv/bin/python tests/golden/make_text.py
"""
import itertools
import json
import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.src.legacy.preprocessing.text import Tokenizer  # noqa: E402
from keras.src.trainers.data_adapters.array_slicing import train_validation_split  # noqa: E402

TEXTS = [
    "Good case, Excellent value.",
    "good GOOD goods; the case is a case",
    "",
    "   ",
    "!!! ... ???",
    "tab\there\nnew line\r\nand\u00a0no-break\u3000wide",
    "It's the dog's 'quote' isn’t",
    "ΟΔΥΣΣΕΥΣ ΣΑΣ Σ ΑΣ. ΑΣ'Α Σ́Σ",
    "İSTANBUL Istanbul ISTANBUL ıstanbul",
    "STRASSE Straße ẞ ǅ ﬁne",
    "e\u0301 É é 😀😀 👩\u200d👩 中文 句子。",
    "Crème brûlée, naïve café — “quoted” …",
    "a a a b b c the the the the",
    "\x0bvertical\x0cform\x1cfile\u0085next\u2028line",
    "<OOV> oov [UNK] _under_ score-board x_y",
    "c b a z y x",
]
LATER = ["unknown words only", "good unknown case", "", "the \u2009thin good", "Σ good ΣΑΣ the a <OOV> oov"]


def tokenizer_cases():
    options = [
        {},
        {"num_words": 0},
        {"num_words": 1},
        {"num_words": 2},
        {"num_words": 5},
        {"num_words": 1000},
        {"oov_token": "<OOV>"},
        {"oov_token": "oov"},
        {"oov_token": "case", "num_words": 3},
        {"oov_token": ""},
        {"oov_token": "<OOV>", "num_words": 1},
        {"oov_token": "<OOV>", "num_words": 2},
        {"oov_token": "<OOV>", "num_words": 6},
        {"lower": False},
        {"filters": ""},
        {"filters": "aeΣσ😀"},
        {"split": "a"},
        {"split": "oo", "filters": "s"},
        {"split": ",", "filters": " "},
        {"split": "--", "filters": " !-"},
    ]
    for given in options:
        tokenizer = Tokenizer(**given)
        tokenizer.fit_on_texts(TEXTS[:10])
        tokenizer.fit_on_texts(TEXTS[10:])
        texts = TEXTS + LATER
        yield {
            "options": given,
            "word_counts": list(tokenizer.word_counts.items()),
            "word_index": tokenizer.word_index,
            "document_count": tokenizer.document_count,
            "sequences": tokenizer.texts_to_sequences(texts),
        }


def pad_cases():
    sets = [
        [[1], [2, 3], [4, 5, 6]],
        [[], [7, 8, 9, 10, 11, 12], [13]],
        [[], []],
        [[127, -128]],
        [[128]],
        [[-129, 1]],
        [[300, 1]],
        [[-1]],
        [[2**31 - 1, -(2**31)]],
        [[2**31]],
        [[2**53 + 1]],
    ]
    dtypes = ["int8", "int32", "int64", "uint8", "uint32", "float32", "float64"]
    for sequences, dtype in itertools.product(sets, dtypes):
        for maxlen, padding, truncating, value in [
            (None, "pre", "pre", 0.0), (2, "post", "pre", 0.0), (2, "pre", "post", 0.0),
            (4, "post", "post", 1.0), (4, "pre", "pre", 2.75), (1, "post", "pre", 0.0),
        ]:
            given = {"maxlen": maxlen, "dtype": dtype, "padding": padding, "truncating": truncating, "value": value}
            case = {"sequences": sequences, "options": given}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    out = keras.utils.pad_sequences(sequences, **given)
                case["shape"] = list(out.shape)
                case["values"] = [float(v) if dtype.startswith("f") else int(v) for v in out.reshape(-1)]
            except (OverflowError, ValueError) as e:
                case["error"] = type(e).__name__
            yield case


def split_cases():
    for n, fraction in itertools.product([1, 2, 3, 5, 7, 10, 29, 100, 1000, 2000, 3708],
                                         [0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.7, 0.9, 0.99]):
        try:
            (train,), (held,) = train_validation_split((np.arange(n),), fraction)
            yield {"n": n, "fraction": fraction, "train": len(train), "held_out": len(held), "first": int(held[0])}
        except ValueError:
            yield {"n": n, "fraction": fraction, "error": "ValueError"}


def main():
    golden = {"keras": keras.__version__, "fit": [TEXTS[:10], TEXTS[10:]], "texts": TEXTS + LATER,
              "tokenizer": list(tokenizer_cases()), "pad": list(pad_cases()), "split": list(split_cases())}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "text_keras.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(golden, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
