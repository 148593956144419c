#!/usr/bin/env python3
"""Every number of docs/translation.md: trains and evaluates through the program alone.

  tools/results/translation.py                      measure all (a day on two cores), render
  tools/results/translation.py --systems bahdanau … these alone; the others stay as they are
  tools/results/translation.py --render             render the document again

One training a system and seed on Multi30k, English to German. Recipes were chosen on the validation
part; the test part (2016, Flickr) is translated once for each row of the table.
"""

import concurrent.futures
import json
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import render
import translation_tables
from program import Program, finish, parser_of

DATA = "multi30k"
SCORE, SPAN = "model.attention.score", "model.attention.span"
# name -> (recipe, options)
SYSTEMS = {
    "rnnenc": ("translation/rnnenc", []),
    "bahdanau": ("translation/bahdanau", []),
    "luong-dot": ("translation/luong-global", ["--set", f"{SCORE}=dot"]),
    "luong-general": ("translation/luong-global", ["--set", f"{SCORE}=general"]),
    "luong-concat": ("translation/luong-global", ["--set", f"{SCORE}=concat"]),
    "luong-location": ("translation/luong-global", ["--set", f"{SCORE}=location"]),
    "luong-local-m": ("translation/luong-local-m", []),
    "luong-local-p": ("translation/luong-local-p", []),
    "transformer": ("translation/transformer", []),
}


def parse_arguments():
    parser = parser_of("translation", __doc__, jobs=2)
    parser.add_argument(
        "--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="which (all)"
    )
    return parser.parse_args()


def command(system, seed, threads):
    recipe, options = SYSTEMS[system]
    words = ["attend train", recipe, "--data", DATA, *options, "--threads", str(threads)]
    return " ".join([*words, "--seed", str(seed)])


def measure_one(program, system, seed):
    recipe, options = SYSTEMS[system]
    run = program.train(
        f"{system}/seed-{seed}", recipe, "--data", DATA, *options, "--seed", str(seed)
    )
    tested = json.loads(program("eval", run["run"], "--split", "test", "--threads", "1"))
    print(f"{system} {seed}: {tested['metrics']}", file=sys.stderr)
    return {
        "seed": seed,
        "command": command(system, seed, program.threads),
        "where": render.provenance(),
        "parameters": run["parameters"],
        "epochs": run["epochs"],
        "seconds": sum(run["seconds"]["epochs"]),
        "validation": run["metrics"]["validation"],
        "n": tested["n"],
        "test": tested["metrics"],
        "signature": tested["signature"],
        "interval": tested["bleu_interval"],
        "by_length": tested["by_length"],
    }


def measure(arguments):
    if not arguments.keep:
        shutil.rmtree(arguments.out, ignore_errors=True)
    program = Program(arguments.program, arguments.out, arguments.threads, arguments.jobs)
    kept = pathlib.Path(arguments.json)
    document = render.read_json(kept) if kept.exists() else {"systems": {}}

    def one(job):
        return job, measure_one(program, *job)

    jobs = [(s, k) for k in range(1, arguments.seeds + 1) for s in arguments.systems]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for (system, seed), row in pool.map(one, jobs):
            rows = document["systems"].setdefault(system, [])
            rows[:] = sorted(
                [r for r in rows if r["seed"] != seed] + [row], key=lambda r: r["seed"]
            )
            render.write_json(kept, document)  # what is there can be rendered at any time


def main():
    picture = ("translation-length.svg", translation_tables.length_picture)
    finish(parse_arguments(), measure, translation_tables, [picture])


if __name__ == "__main__":
    main()
