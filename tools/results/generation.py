#!/usr/bin/env python3
"""Every number of docs/generation.md's results: trains and evaluates through the program alone.

  tools/results/generation.py                   measure (two hours of two cores a system), render
  tools/results/generation.py --systems draw …  these alone; the others stay as they are
  tools/results/generation.py --render          render the document again

--epochs takes another number than the recipe's: the learning rate falls to its end within it. Settings are
chosen on the validation images; the test images are read once for each row of the table.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import generation_tables
import render
from program import Program, finish, parser_of

SYSTEMS = ["draw", "draw-no-attention"]


def parse_arguments():
    parser = parser_of("generation", __doc__, jobs=1)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="which (all)")
    parser.add_argument("--epochs", type=int, help="of each training (the recipe's)")
    parser.add_argument("--samples", type=int, default=5000, help="K of log p(x) (5000)")
    parser.add_argument("--images", type=int, default=500, help="test images of log p(x) (500)")
    return parser.parse_args()


def curve_of(run):
    lines = (pathlib.Path(run) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        [r["epoch"], round(r["train"]["elbo_nats"], 2), round(r["validation"]["elbo_nats"], 2)]
        for r in rows
    ]


def measure_one(program, arguments, system):
    words = [f"generation/{system}"]
    if arguments.epochs:
        words += ["--set", f"train.epochs={arguments.epochs}"]
    run = program.train(f"{system}/seed-1", *words, "--seed", "1")
    many = ["--samples", str(arguments.samples), "--images", str(arguments.images)]
    test = json.loads(program("eval", run["run"], *many))
    print(f"{system}: {test['metrics']}", file=sys.stderr)
    return {
        "system": system,
        "command": " ".join(["attend train", *words, "--threads", str(program.threads), "--seed 1"]),
        "where": render.provenance(),
        "parameters": run["parameters"],
        "epochs": run["epochs"],
        "seconds": sum(run["seconds"]["epochs"]),
        "threads": program.threads,
        "curve": curve_of(run["run"]),
        "test": {
            "n": test["n"],
            "metrics": test["metrics"],
            "interval": test["elbo_interval"],
            "samples": arguments.samples,
            "images": arguments.images,
        },
    }


def measure(arguments):
    program = Program(arguments.program, arguments.out, arguments.threads, arguments.jobs)
    kept = pathlib.Path(arguments.json)
    document = render.read_json(kept) if kept.exists() else {"rows": []}
    for system in arguments.systems:
        row = measure_one(program, arguments, system)
        document["rows"] = [r for r in document["rows"] if r["system"] != system] + [row]
        document["rows"].sort(key=lambda r: SYSTEMS.index(r["system"]))
        render.write_json(kept, document)


def main():
    picture = ("draw-curve.svg", generation_tables.curve_picture)
    finish(parse_arguments(), measure, generation_tables, [picture])


if __name__ == "__main__":
    main()
