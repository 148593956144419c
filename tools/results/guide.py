#!/usr/bin/env python3
"""Every number of docs/guide.md: trains, evaluates and explains through the program alone.

  tools/results/guide.py                 measure all (an hour), write guide.json, render docs/guide.md
  tools/results/guide.py --cells sst …   measure these cells only, and keep the others as they are
  tools/results/guide.py --render        render docs/guide.md again from that file

Both of the guide's models on `uci-sentiment:amazon+yelp` and `hutto-reviews` (the last 20 %, and
random splits) and on `sst` (its own test part); the same with padding masked; on
`synthetic-reviews` where each explanation falls. Nothing is tuned: the recipes are the guide's.
Models are paired by seed and split.
"""

import argparse
import concurrent.futures
import json
import pathlib
import shutil
import string
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import guide_tables
import render
from program import Program

RECIPES = {"lstm": "guide/sentiment-lstm", "attention": "guide/sentiment-lstm-attention"}
UCI, HUTTO, SST, SYNTHETIC = (
    "uci-sentiment:amazon+yelp",
    "hutto-reviews",
    "sst",
    "synthetic-reviews",
)
MASKED = ["--set", "model.mask_padding=true"]
LONGER = ["--set", "train.epochs=40"]  # ten epochs do not teach either model this task
# name -> (data, how it is split, further options). Each is trained with both recipes.
CELLS = {
    "uci-last": (UCI, "last", []),
    "uci-random": (UCI, "random", []),
    "uci-last-masked": (UCI, "last", MASKED),
    "uci-random-masked": (UCI, "random", MASKED),
    "hutto-last": (HUTTO, "last", []),
    "hutto-random": (HUTTO, "random", []),
    "synthetic-masked": (SYNTHETIC, "last", LONGER + MASKED),
    "synthetic": (SYNTHETIC, "last", LONGER),
    "sst": (SST, "own", []),
}
EXPLAINED = ("uci-last", "uci-last-masked", "hutto-last", "synthetic", "synthetic-masked", "sst")
ALL_ROWS = "100000"


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", default=str(render.ROOT / "build/release/bin/attend"))
    parser.add_argument(
        "--out", default=str(render.ROOT / "build/results/guide"), help="folder of the runs"
    )
    parser.add_argument(
        "--json", default=str(render.ROOT / "tools/results/guide.json"), help="what is measured"
    )
    parser.add_argument("--document", default=str(render.ROOT / "docs/guide.md"))
    parser.add_argument("--seeds", type=int, default=10, help="seeds, and random splits (10)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (1)")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time (2)")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="take finished runs from --out instead of training again",
    )
    parser.add_argument(
        "--cells", nargs="+", choices=CELLS, default=list(CELLS), help="what to measure (all)"
    )
    parser.add_argument(
        "--render", action="store_true", help="only render the document from --json"
    )
    return parser.parse_args()


def command(recipe, data, split, options, seeds, threads):
    """The line that a reader types for one cell; `split` as in CELLS."""
    words = ["attend train", RECIPES[recipe], "--data", data, *options, f"--threads {threads}"]
    if split == "own":
        words += ["--set data.split=predefined"]
    if split == "random":
        words += ["--set data.split=shuffled --set data.split_seed=$k --seed $k"]
        return f"for k in $(seq {seeds}); do {' '.join(words)}; done"
    return " ".join([*words, f"--seeds {seeds}"])


def train_cell(program, cell, recipe, seeds):
    data, split, options = CELLS[cell]
    words = [RECIPES[recipe], "--data", data, *options]
    words += {
        "own": ["--set", "data.split=predefined"],
        "random": ["--set", "data.split=shuffled"],
        "last": [],
    }[split]

    def one(k):
        here = ["--set", f"data.split_seed={k}"] if split == "random" else []
        run = program.train(f"{cell}/{recipe}/seed-{k}", *words, *here, "--seed", str(k))
        print(f"{cell} {recipe} {k}/{seeds}: {held_out(run)}", file=sys.stderr)
        return run

    with concurrent.futures.ThreadPoolExecutor(program.jobs) as pool:
        runs = list(pool.map(one, range(1, seeds + 1)))
    return {
        "command": command(recipe, data, split, options, seeds, program.threads),
        "where": render.provenance(),
        "data": data,
        "split": split,
        "rows": runs[0]["rows"],
        "parameters": runs[0]["parameters"],
        "accuracy": [held_out(run)["accuracy"] for run in runs],
        "train_accuracy": [run["metrics"]["train"]["accuracy"] for run in runs],
        "seconds": [run["seconds"]["total"] for run in runs],
        "runs": [run["run"] for run in runs],
    }


def held_out(run):
    return run["metrics"].get("test") or run["metrics"]["validation"]


def explain_cell(program, cell, trained, truth):
    """Of every run: which held-out rows it has right ("1"), and where its explanations fall."""
    part = "test" if CELLS[cell][1] == "own" else "validation"
    right, on_padding, shares = [], [], []

    def explained(run):
        return json.loads(
            program("explain", run, "--split", part, "--count", ALL_ROWS, "--threads", "1")
        )

    with concurrent.futures.ThreadPoolExecutor(program.jobs) as pool:
        documents = list(pool.map(explained, trained["runs"]))
    for run, accuracy, document in zip(
        trained["runs"], trained["accuracy"], documents, strict=True
    ):
        rows = document["explanations"]
        right.append("".join("01"[row["truth"] == row["output"]["label"]] for row in rows))
        if abs(right[-1].count("1") / len(rows) - accuracy) > 1e-6:
            sys.exit(
                f"guide.py: {run}: explain has {right[-1].count('1')} of {len(rows)} right, "
                f"training had {accuracy}"
            )
        maps = [row["attention"][0] for row in rows if row["attention"]]
        on_padding.append(sum(m.get("on_padding") or 0 for m in maps) / len(maps) if maps else None)
        if truth:
            shares.append(deciding_shares(rows, truth))
    trained.update(right=right, on_padding=on_padding, shares=shares)
    trained["explain_command"] = f"attend explain RUN --split {part} --count {ALL_ROWS} --json"


def words_of(text):
    """Keras' words of a text: lower case, punctuation but the apostrophe to spaces."""
    filters = set(string.punctuation) - {"'"}
    return "".join(" " if c in filters else c for c in text.lower()).split()


def read_truth(path):
    """words of a generated review -> for each word, whether it decides."""
    truth = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        words, deciding = [], []
        for token, decides in zip(row["text"].split(), row["truth"], strict=True):
            for word in words_of(token):
                words.append(word)
                deciding.append(bool(decides))
        truth[tuple(words)] = deciding
    return truth


def measures(row):
    """method -> one number a word, null where the model did not see it."""
    found = {
        "leave_one_out": row["attribution"]["leave_one_out"],
        "gradient_x_input": row["attribution"]["gradient_x_input"],
    }
    if row["attention"]:
        found["attention"] = row["attention"][0]["weights"][0]
    return found


def deciding_shares(rows, truth):
    """method -> mean over sentences of Σ_deciding |m| / Σ |m|, and how often the largest |m| decides.
    `words` is the share of words that decide: what equal or random weights reach, in both.
    """
    totals = {}
    for row in rows:
        deciding = truth[tuple(word.lower().strip(string.punctuation) for word in row["input"])]
        seen = [i for i, state in enumerate(row["seen"]) if state == "seen"]
        by_method = {
            name: [abs(values[i] or 0) for i in seen] for name, values in measures(row).items()
        }
        by_method["words"] = [1.0] * len(seen)
        for name, sizes in by_method.items():
            if sum(sizes) == 0 or not any(deciding[i] for i in seen):
                continue
            share = sum(s for s, i in zip(sizes, seen) if deciding[i]) / sum(sizes)
            largest = max(sizes)
            tops = [deciding[i] for s, i in zip(sizes, seen) if s == largest]
            total = totals.setdefault(name, [0, 0.0, 0.0])
            total[0] += 1
            total[1] += share
            total[2] += sum(tops) / len(tops)
    return {
        name: {"sentences": n, "share": share / n, "top": top / n}
        for name, (n, share, top) in totals.items()
    }


def measure(arguments):
    out = pathlib.Path(arguments.out)
    if not arguments.keep:
        shutil.rmtree(out, ignore_errors=True)
    program = Program(arguments.program, out, arguments.threads, arguments.jobs)
    program("data", "make", SYNTHETIC, "--out", str(out / "truth"))
    truth = read_truth(out / "truth" / f"{SYNTHETIC}.truth.jsonl")
    kept = pathlib.Path(arguments.json)
    document = render.read_json(kept) if kept.exists() else {"cells": {}}
    for cell in arguments.cells:
        recipes = {r: train_cell(program, cell, r, arguments.seeds) for r in RECIPES}
        for trained in recipes.values():
            if cell in EXPLAINED:
                is_generated = CELLS[cell][0] == SYNTHETIC
                explain_cell(program, cell, trained, truth if is_generated else None)
            trained["runs"] = [str(pathlib.Path(run).relative_to(out)) for run in trained["runs"]]
        document["cells"][cell] = recipes
        render.write_json(kept, document)  # what is there can be rendered at any time


def main():
    arguments = parse_arguments()
    if not arguments.render:
        measure(arguments)
    render.replace(arguments.document, guide_tables.parts(render.read_json(arguments.json)))


if __name__ == "__main__":
    main()
