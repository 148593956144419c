#!/usr/bin/env python3
"""Whole processes of attend beside whole processes of Keras, turn by turn on the same machine.

  train-process    attend train guide/sentiment-lstm-attention        keras_sentiment.py train --attention
  epoch            seconds of one epoch as each program reports them   keras_sentiment.py epoch
  predict-process  attend predict RUN SENTENCE                         keras_sentiment.py predict MODEL SENTENCE

Wall time and peak memory of a process come from wait4(2). Every figure is a median over --runs turns; the first turn warms
the file cache and is dropped. Of the epochs of one process the first is dropped on both sides (TensorFlow traces and
compiles in it); the pass over the validation rows is outside the epoch on both sides. Without a built program only the Keras
side is measured. Prints a table; with --json one document in the schema of `attend_bench --json`.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KERAS = [str(HERE / ".venv/bin/python"), str(HERE / "keras_sentiment.py")]
PEER = "keras 3.15.1 (tensorflow 2.21.0)"
SENTENCE = "The battery died after two days and nobody answered my calls."
EPOCHS = 10


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/attend"))
    parser.add_argument("--runs", type=int, default=5, help="counted turns of the trainings (5)")
    parser.add_argument("--predict-runs", type=int, default=9, help="counted turns of predict (9)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--only", choices=["epoch", "train-process", "predict-process"], action="append"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser.parse_args()


def data_folder():
    for folder in os.environ.get("ATTEND_DATA", str(ROOT.parent / "shared/data")).split(":"):
        if (pathlib.Path(folder) / "uci-sentiment/yelp_labelled.txt").exists():
            return folder
    sys.exit(
        "compare.py: uci-sentiment is in no folder of ATTEND_DATA: run `attend data get uci-sentiment`, then set "
        "ATTEND_DATA to the folder that holds it"
    )


def run(command, environment):
    """One process: its wall seconds, peak resident megabytes (10^6 bytes) and what it printed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = os.posix_spawn(
            command[0],
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ],
        )
        _, status, usage = os.wait4(process, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        if status != 0:
            log.seek(0)
            sys.exit(
                f"compare.py: {' '.join(command)}: failed\n{log.read().decode(errors='replace')}"
            )
        return {
            "seconds": seconds,
            "mb": usage.ru_maxrss * 1024 / 1e6,
            "output": output.read().decode(),
        }


class Bench:
    def __init__(self, arguments, scratch):
        self.arguments, self.scratch = arguments, pathlib.Path(scratch)
        data = data_folder()
        self.files = [
            f"{data}/uci-sentiment/{name}_labelled.txt" for name in ("amazon_cells", "yelp")
        ]
        self.environment = dict(
            os.environ, ATTEND_DATA=data, OMP_NUM_THREADS=str(arguments.threads)
        )
        self.has_ours = os.access(arguments.program, os.X_OK)
        if not self.has_ours:
            print(f"{arguments.program} is not built: measuring Keras alone", file=sys.stderr)

    def attend_train(self, recipe):
        out = self.scratch / "run"
        shutil.rmtree(out, ignore_errors=True)
        return run(
            [
                self.arguments.program,
                "train",
                recipe,
                "--data",
                "uci-sentiment:amazon+yelp",
                "--set",
                f"train.epochs={EPOCHS}",
                "--out",
                str(out),
                "--threads",
                str(self.arguments.threads),
                "--json",
            ],
            self.environment,
        )

    def keras_train(self, *options, mode="train"):
        return run(
            [
                *KERAS,
                mode,
                *self.files,
                "--epochs",
                str(EPOCHS),
                "--threads",
                str(self.arguments.threads),
                *options,
            ],
            self.environment,
        )

    def attend_predict(self):
        return run(
            [self.arguments.program, "predict", str(self.scratch / "run"), SENTENCE, "--json"],
            self.environment,
        )

    def keras_predict(self):
        return run(
            [
                *KERAS,
                "predict",
                str(self.scratch / "model.keras"),
                SENTENCE,
                "--threads",
                str(self.arguments.threads),
            ],
            self.environment,
        )

    def alternate(self, name, turns, ours, keras):
        """`turns` counted pairs after one that warms up."""
        samples = {"ours": [], "peer": []}
        for turn in range(turns + 1):
            for side, act in (("ours", ours), ("peer", keras)):
                if side == "ours" and not self.has_ours:
                    continue
                sample = act()
                if turn > 0:
                    samples[side].append(sample)
                print(
                    f"{name} {turn}/{turns} {side}: {sample['seconds']:.2f} s, {sample['mb']:.0f} MB",
                    file=sys.stderr,
                )
        return samples


def steady_epoch(epochs):
    """Median seconds without the first epoch."""
    return statistics.median(epochs[1:])


def row(op, shape, threads, samples, value):
    """`value`: sample -> seconds. Ratios are of medians."""
    result = {
        "op": op,
        "direction": "training" if "predict" not in op else "inference",
        "shape": shape,
        "dtype": "float32",
        "threads": threads,
    }
    sides = {side: [value(sample) for sample in taken] for side, taken in samples.items()}
    medians = {
        side: statistics.median(values) * 1e3 if values else None for side, values in sides.items()
    }
    memory = {
        side: statistics.median([s["mb"] for s in taken]) if taken else None
        for side, taken in samples.items()
    }
    both = bool(sides["ours"])
    result.update(
        ours_ms=round(medians["ours"], 3) if both else None,
        peer=PEER,
        peer_ms=round(medians["peer"], 3),
        ratio=round(medians["peer"] / medians["ours"], 3) if both else None,
        gflops=None,
        fraction_of_peak=None,
        ours_peak_mb=round(memory["ours"], 1) if both else None,
        peer_peak_mb=round(memory["peer"], 1),
        memory_ratio=round(memory["ours"] / memory["peer"], 4) if both else None,
        ours_range_ms=[round(f(sides["ours"]) * 1e3, 3) for f in (min, max)] if both else None,
        peer_range_ms=[round(f(sides["peer"]) * 1e3, 3) for f in (min, max)],
        runs=len(sides["peer"]),
    )
    return result


def epoch_seconds(sample):
    document = json.loads(sample["output"])
    return steady_epoch(document.get("epoch_seconds") or document["seconds"]["epochs"])


def measure(bench, arguments):
    shape = {"B": 100, "T": 32, "E": 32, "H": 100, "rows": 1600}
    wanted = arguments.only or ["epoch", "train-process", "predict-process"]
    rows = []
    if "epoch" in wanted:
        samples = bench.alternate(
            "epoch",
            arguments.runs,
            lambda: bench.attend_train("guide/sentiment-lstm"),
            lambda: bench.keras_train(mode="epoch"),
        )
        rows.append(row("epoch", shape, arguments.threads, samples, epoch_seconds))
    whole = lambda sample: sample["seconds"]
    ours = lambda: bench.attend_train("guide/sentiment-lstm-attention")
    if "train-process" in wanted:
        samples = bench.alternate(
            "train-process", arguments.runs, ours, lambda: bench.keras_train("--attention")
        )
        rows.append(
            row("train-process", {**shape, "epochs": EPOCHS}, arguments.threads, samples, whole)
        )
    if "predict-process" in wanted:
        if bench.has_ours:
            ours()
        bench.keras_train("--attention", "--out", str(bench.scratch / "model.keras"))
        samples = bench.alternate(
            "predict-process", arguments.predict_runs, bench.attend_predict, bench.keras_predict
        )
        rows.append(row("predict-process", {"sentences": 1}, arguments.threads, samples, whole))
    return rows


def show(rows):
    print(
        f"{'what':16} {'ours ms':>10} {'Keras ms':>10} {'ratio':>7} {'ours MB':>8} {'Keras MB':>9} {'memory':>7}"
    )
    for r in rows:
        cells = [
            r["ours_ms"],
            r["peer_ms"],
            r["ratio"],
            r["ours_peak_mb"],
            r["peer_peak_mb"],
            r["memory_ratio"],
        ]
        text = ["-" if c is None else f"{c:.{d}f}" for c, d in zip(cells, (1, 1, 2, 0, 0, 3))]
        print(
            f"{r['op']:16} {text[0]:>10} {text[1]:>10} {text[2]:>7} {text[3]:>8} {text[4]:>9} {text[5]:>7}"
        )


def main():
    arguments = parse_arguments()
    if not os.access(KERAS[0], os.X_OK):
        sys.exit("compare.py: bench/peers/.venv is missing; bench/peers/README.md sets it up")
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Bench(arguments, scratch), arguments)
    if arguments.json:
        print(json.dumps({"rows": rows}))
    else:
        show(rows)


if __name__ == "__main__":
    sys.exit(main())
