"""Writes caption_scores.json: what COCO's caption evaluation code (pycocoevalcap) gives for captions made here, already cut up into
words, as its tokeniser needs Java. Only to be run again when a case is added, in an environment of its own:
    python3 -m venv build/golden && build/golden/bin/pip install pycocoevalcap==1.2
    build/golden/bin/python tests/golden/make_caption_scores.py
"""
import json
import pathlib
import random

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

NOUNS = "dog cat man woman child ball street table horse train".split()
VERBS = "runs sits stands plays jumps sleeps".split()
PLACES = "on a table|in the street|near a train|with a red ball|beside the woman|on the grass".split("|")


def caption(chance, noun):
    words = [chance.choice(["a", "the", "one"]), *chance.choice([[], ["small"], ["very", "small"]]), noun, chance.choice(VERBS)]
    for _ in range(chance.choice([0, 1, 1, 2])):
        words += chance.choice(PLACES).split()
    return " ".join(words)


def cases():
    chance = random.Random(0)
    for images in (1, 2, 7, 40):
        nouns = [chance.choice(NOUNS) for _ in range(images)]
        references = [[caption(chance, noun) for _ in range(chance.choice([1, 4, 5, 6]))] for noun in nouns]
        yield f"{images} made", [caption(chance, noun) for noun in nouns], references
        yield f"{images} equal to a reference", [chance.choice(r) for r in references], references
        yield f"{images} short", [r[0].split()[0] for r in references], references
        yield f"{images} long", [" ".join([r[0]] * 4) for r in references], references
    yield "one is empty", ["", "a dog runs on the grass"], [["a dog"], ["a dog runs on a table", "dogs run"]]
    yield "nothing in common", ["x y z w", "v v v v"], [["a dog runs on"], ["one two three four five"]]
    yield "two lengths as near", ["a a a", "b b"], [["a a", "a a a a"], ["b", "b b b b"]]
    yield "repeated words", ["the the the the", "a b a b a b"], [["the cat the mat"], ["a b c", "a b a b"]]


def main():
    out = []
    for name, captions, references in cases():
        given = {i: [c] for i, c in enumerate(captions)}
        truth = dict(enumerate(references))
        bleu, _ = Bleu(4).compute_score(truth, given, verbose=0)
        cider, each = Cider().compute_score(truth, given)
        out.append({"name": name, "captions": captions, "references": references, "bleu": bleu, "cider": float(cider),
                    "cider_each": [float(x) for x in each]})
    path = pathlib.Path(__file__).with_name("caption_scores.json")
    path.write_text(json.dumps(out, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
