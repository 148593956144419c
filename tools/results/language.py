#!/usr/bin/env python3
"""Every number of docs/language.md's results: trains and evaluates through the program alone.

  tools/results/language.py                     measure all (two hours of one core), render
  tools/results/language.py --systems lstmn …   these alone; the others stay as they are
  tools/results/language.py --render            render the document again

One training a system, data set and seed. The budget is the number of tokens read: the same rows, in the same
order, as often for every system. Equal time would be another fair one, but it depends on what else the machine
does, so that nobody could repeat it; the time is written beside it. Recipes are taken as they are; the test
part is read once for each row of the table.
"""

import concurrent.futures
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import language_tables
import render
from program import Program, finish, parser_of

SYSTEMS = ["lstm", "lstmn", "transformer"]
EPOCHS = {"tinyshakespeare": 5, "war-and-peace": 1}


def parse_arguments():
    parser = parser_of("language", __doc__, jobs=1)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS, help="which (all)")
    parser.add_argument("--data", nargs="+", choices=EPOCHS, default=list(EPOCHS), help="which (all)")
    return parser.parse_args()


def measure_one(program, data, system, seed):
    words = [f"language/{system}", "--data", data, "--set", f"train.epochs={EPOCHS[data]}"]
    run = program.train(f"{data}/{system}/seed-{seed}", *words, "--seed", str(seed))
    parts = {}
    for part in ("train", "validation", "test"):
        # Of the training part only the number of tokens is wanted: its figures are those of training.
        parts[part] = json.loads(
            program("eval", run["run"], "--split", part, "--threads", str(program.threads))
        )
    print(f"{data} {system} {seed}: {parts['test']['metrics']}", file=sys.stderr)
    return {
        "data": data,
        "system": system,
        "seed": seed,
        "command": " ".join(
            ["attend train", *words, "--threads", str(program.threads), "--seed", str(seed)]
        ),
        "where": render.provenance(),
        "parameters": run["parameters"],
        "epochs": run["epochs"],
        "tokens": parts["train"]["n"] * run["epochs"],
        "seconds": sum(run["seconds"]["epochs"]),
        "validation": parts["validation"]["metrics"],
        "n": parts["test"]["n"],
        "test": parts["test"]["metrics"],
    }


def measure(arguments):
    if not arguments.keep:
        shutil.rmtree(arguments.out, ignore_errors=True)
    program = Program(arguments.program, arguments.out, arguments.threads, arguments.jobs)
    kept = pathlib.Path(arguments.json)
    document = render.read_json(kept) if kept.exists() else {"rows": []}

    def name(row):
        return row["data"], row["system"], row["seed"]

    def one(job):
        return measure_one(program, *job)

    jobs = [
        (data, system, seed)
        for data in arguments.data
        for seed in range(1, arguments.seeds + 1)
        for system in arguments.systems
    ]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for row in pool.map(one, jobs):
            rows = [r for r in document["rows"] if name(r) != name(row)] + [row]
            document["rows"] = sorted(rows, key=name)
            render.write_json(kept, document)  # what is there can be rendered at any time


def main():
    finish(parse_arguments(), measure, language_tables)


if __name__ == "__main__":
    main()
