"""Writes translation_scores.json: what sacreBLEU 2.6.0 gives. Only to be run again when a case is added, in an environment of
its own:
    python3 -m venv build/golden && build/golden/bin/pip install sacrebleu==2.6.0
    build/golden/bin/python tests/golden/make_translation_scores.py
"""
import json
import pathlib
import random

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

LINES = [
    ("The cat sat on the mat.", "The cat sat on the mat."),
    ("A man in a blue shirt, standing on a ladder.", "A man in a blue shirt is standing on a ladder."),
    ("", "An empty hypothesis."), ("An empty reference.", ""), ("", ""), ("   ", "\t"),
    ("It costs $3,141.59 (about 10%) - or 5-6 euros...", "It costs $3,141.59, about 10% - or 5-6 euros…"),
    ("Zwei Männer sind im Freien", "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."),
    ("« L'été », dit-elle : c'est 3.5,7.", "« L'été » , dit-elle : c'est 3,5."),
    ("中文 句子。没有 空格", "中文句子。没有空格!"), ("😀 👩\u200d👩 ok", "😀 👩\u200d👩 ok ok"), ("e\u0301 é", "é é"),
    ("&quot;Tom &amp; Jerry&quot; &lt;b&gt;", "\"Tom & Jerry\" <b>"), ("a <skipped> b", "a b"),
    ("no-break\u00a0space\u3000wide\u2009thin\x1cfile\x85next", "no-break space wide thin file next"),
    (".,.,,. ..,5.5, 5. .5 -5 5- 5-5 a-5", ".,.,,. 5.5 5 . .5 - 5 5- 5-5 a-5"), ("x", "x"), ("one two", "one three"),
    ("trailing space ", "trailing space"), ("tabs\tand  runs", "tabs and runs"), ("1,000.50,", "1,000.50"),
    ("`tick` [b] {c} ~ ^ _ \\ | @ # $ % & * + = / : ; < > ?", "`tick` [b] {c} ~ ^ _ \\ | @ # $ % & * + = / : ; < > !"),
]
POOL = "the a man woman dog is are standing , . ! 5 12.5 3,000 - in of weiß é 中 \" ( ) 's $".split()


def random_pair(rng):
    reference = [rng.choice(POOL) for _ in range(rng.randrange(0, 14))]
    hypothesis = [w if rng.random() < 0.75 else rng.choice(POOL) for w in reference if rng.random() < 0.93]
    glue = rng.choice([" ", " ", ""])
    return glue.join(hypothesis), glue.join(reference)


def scored(hypotheses, references):
    """references: one list for each reference stream, as sacreBLEU takes them."""
    out = {"hypotheses": hypotheses, "references": [list(r) for r in zip(*references)]}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        out[name] = metric.corpus_score(hypotheses, references).score
        out[name + "_signature"] = str(metric.get_signature())
    return out


def main():
    rng = random.Random(1)
    cases = [scored([h], [[r]]) for h, r in LINES]
    cases.append(scored([h for h, _ in LINES], [[r for _, r in LINES]]))
    for n in (1, 2, 5, 40, 300):
        for _ in range(6):
            pairs = [random_pair(rng) for _ in range(n)]
            cases.append(scored([h for h, _ in pairs], [[r for _, r in pairs]]))
    for _ in range(6):
        pairs = [random_pair(rng) for _ in range(30)]
        others = [[random_pair(rng)[1] if rng.random() < 0.3 else random_pair(random.Random(i))[0] for i in range(30)] for _ in range(2)]
        cases.append(scored([h for h, _ in pairs], [[r for _, r in pairs]] + others))
    tokens = {}
    for text in [t for pair in LINES for t in pair] + [random_pair(rng)[0] for _ in range(200)]:
        tokens[text] = BLEU().tokenizer(text)
    pairs = [random_pair(rng) for _ in range(200)]
    systems = [[h for h, _ in pairs],
               [h if rng.random() < 0.98 else "a dog ." if rng.random() < 0.5 else r for h, r in pairs],
               [h if rng.random() < 0.5 else r for h, r in pairs]]
    references = [r for _, r in pairs]
    bootstrap = []
    for metric in ("BLEU", "CHRF"):
        made = {"BLEU": BLEU, "CHRF": CHRF}[metric](references=[references])
        test = PairedTest([(str(i), s) for i, s in enumerate(systems)], {metric: made}, None, test_type="bs", n_samples=4000)
        _, scores = test()
        results = next(v for k, v in scores.items() if k != "System")
        bootstrap.append({"metric": metric.lower(), "systems": [
            {"score": r.score, "mean": r.mean, "half_width": r.ci, "p": r.p_value} for r in results]})
    out = {"cases": cases, "tokens": tokens, "systems": systems, "references": references, "bootstrap": bootstrap}
    path = pathlib.Path(__file__).with_name("translation_scores.json")
    path.write_text(json.dumps(out, indent=0, ensure_ascii=True, default=float) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
