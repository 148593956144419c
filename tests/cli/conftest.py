"""Drives the built program. ATTEND_PROGRAM names it; every test works in a folder of its own."""
import json
import os
import pathlib
import random
import shutil
import subprocess

import pytest

PROGRAM = os.path.abspath(os.environ.get("ATTEND_PROGRAM", "build/release/bin/attend"))
SOURCE = pathlib.Path(os.environ.get("ATTEND_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
DATA = os.environ.get("ATTEND_DATA", str(SOURCE.parent / "shared" / "data"))
TINY = ["--set", "model.hidden=4", "--set", "model.embedding_width=4", "--set", "data.max_length=8",
        "--set", "train.epochs=2", "--set", "train.batch=20", "--threads", "1"]


class Finished:
    """A call that has ended: status, text of both streams."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)


def environment(tmp, **more):
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS")}
    return {**keep, "ATTEND_CACHE": str(tmp / "cache"), "ATTEND_DATA": DATA, "TERM": "xterm", **more}


class Attend:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *args, stdin=b"", env=None, binary=False, preexec_fn=None, timeout=60):
        stdin = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([PROGRAM, *map(os.fspath, args)], input=stdin, capture_output=True, cwd=self.folder,
                              env=environment(self.folder, **(env or {})), timeout=timeout, preexec_fn=preexec_fn)
        if binary:
            return Finished(done.returncode, done.stdout, done.stderr)
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *args, **more):
        return subprocess.Popen([PROGRAM, *map(os.fspath, args)], cwd=self.folder, env=environment(self.folder),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def fails(self, status, *args, names, **more):
        """The call fails with this status and one line on stderr that holds every one of `names`; no data on stdout."""
        done = self(*args, **more)
        assert done.status == status, (done.status, done.err)
        lines = [line for line in done.err.splitlines() if not line.startswith("attend: note: ")]
        assert len(lines) == 1, done.err
        assert lines[0].startswith("attend: "), done.err
        for name in [names] if isinstance(names, str) else names:
            assert name in lines[0], (name, lines[0])
        return done


@pytest.fixture
def attend(tmp_path):
    return Attend(tmp_path)


def write_reviews(path, rows=200, seed=0):
    """`text TAB label`: the label is what the adjective says, but for one in ten of the last fifth."""
    chance = random.Random(seed)
    things = "phone battery screen film plot actor soup waiter sound case".split()
    good, bad = "great good superb lovely".split(), "awful bad poor dreadful".split()
    with open(path, "w") as file:
        for i in range(rows):
            label = i % 2
            word = chance.choice(good if label else bad)
            label = 1 - label if i % 10 == 9 and i >= 0.8 * rows else label
            file.write(f"the {chance.choice(things)} was {word} and so was the {chance.choice(things)}\t{label}\n")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with data and two small runs, `plain` and `attention`, trained once."""
    folder = tmp_path_factory.mktemp("trained")
    write_reviews(folder / "reviews.tsv")
    call = Attend(folder)
    for name, recipe in (("plain", "guide/sentiment-lstm"), ("attention", "guide/sentiment-lstm-attention")):
        done = call("train", recipe, "--data", "reviews.tsv", "--out", name, "--set", "optim.lr=0.05", *TINY,
                    "--set", "train.epochs=20")   # enough that the answers are never in doubt
        assert done.status == 0, done.err
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    """A private copy of those runs in this test's folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def tree(folder):
    """Every file below a folder with its bytes: what must not change when a call fails."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(pathlib.Path(folder).rglob("*")) if p.is_file()}
