"""The program, as the scripts that measure call it."""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import render


class Program:
    """Calls `attend … --json`; a failure ends everything with the program's own message."""

    def __init__(self, path, out, threads, jobs):
        self.path, self.out, self.threads, self.jobs = path, pathlib.Path(out), threads, jobs

    def __call__(self, *words):
        done = subprocess.run(
            [self.path, *words, "--json"], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"attend {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    def train(self, folder, *words):
        """One training: the result of the one that finished in `folder`, the rest of one that was stopped there, or a new one."""
        out = self.out / folder
        if (out / "SHA256SUMS").exists() or (out / "checkpoints/latest").exists():
            return json.loads(self("train", "--resume", str(out)))
        shutil.rmtree(out, ignore_errors=True)  # stopped before its first checkpoint
        return json.loads(self("train", *words, "--out", str(out), "--threads", str(self.threads)))


def parser_of(name, description, jobs):
    """The options that a script NAME of docs/NAME.md has in any case; `jobs` is how many trainings run at a time."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = render.ROOT
    parser.add_argument("--program", default=str(root / "build/release/bin/attend"))
    parser.add_argument(
        "--out", default=str(root / f"build/results/{name}"), help="folder of the runs"
    )
    parser.add_argument(
        "--json", default=str(root / f"tools/results/{name}.json"), help="what is measured"
    )
    parser.add_argument("--document", default=str(root / f"docs/{name}.md"))
    parser.add_argument("--seeds", type=int, default=1, help="seeds, from 1 (1)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (1)")
    parser.add_argument("--jobs", type=int, default=jobs, help=f"trainings at a time ({jobs})")
    parser.add_argument(
        "--keep", action="store_true", help="take finished runs from --out, go on with others"
    )
    parser.add_argument("--render", action="store_true", help="only render the document")
    return parser


def finish(arguments, measure, tables, pictures=()):
    """Measures unless only rendering was asked for, then writes the document's tables and its pictures: (name, drawing) of each."""
    if not arguments.render:
        measure(arguments)
    document = render.read_json(arguments.json)
    render.replace(arguments.document, tables.parts(document))
    for name, drawing in pictures:
        path = pathlib.Path(arguments.document).parent / "images" / name
        path.write_text(drawing(document), encoding="utf-8")
