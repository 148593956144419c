"""The program, as the scripts that measure call it."""

import json
import pathlib
import shutil
import subprocess
import sys


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
