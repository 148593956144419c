"""Signals and resuming, as a script sees them.

Mutations killed: the handler's number not passed on (exit 0 or 1); no checkpoint before leaving; resume that starts
anew; resume that ignores the number of threads it began with.
"""
import hashlib
import os
import signal
import time

import pytest
from conftest import TINY, tree, write_reviews

LONG = [*TINY, "--set", "train.epochs=8", "--set", "train.batch=2", "--set", "model.hidden=8"]


def weights(run):
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def start_and_signal(attend, number, out, after):
    process = attend.start("train", "guide/sentiment-lstm-attention", "--data", "r.tsv", "--out", out, *LONG)
    deadline = time.monotonic() + 60
    seen = b""
    while after not in seen:
        line = process.stderr.readline()
        assert line and time.monotonic() < deadline, seen
        seen += line
    process.send_signal(number)
    out_text, err = process.communicate(timeout=60)
    return process.returncode, out_text.decode(), (seen + err).decode()


@pytest.mark.parametrize("number,status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_checkpoint_and_resuming_gives_the_same_bits(attend, number, status):
    write_reviews(attend.folder / "r.tsv", rows=400)
    whole = attend("train", "guide/sentiment-lstm-attention", "--data", "r.tsv", "--out", "whole", *LONG)
    assert whole.status == 0, whole.err
    got, out, err = start_and_signal(attend, number, "cut", b"epoch 2")
    assert got == status, err
    assert out == "" and "--resume" in err and "cut" in err
    assert not (attend.folder / "cut" / "SHA256SUMS").exists()
    assert not [n for n in tree(attend.folder) if ".tmp" in n]
    attend.fails(3, "predict", "cut", "text", names=["cut", "--resume"])
    done = attend("train", "--resume", "cut", "--json")
    assert done.status == 0, done.err
    assert "epoch 1 " not in done.err and done.json["epochs"] == 8
    assert weights(attend.folder / "cut") == weights(attend.folder / "whole")
    again = attend("train", "--resume", "cut")
    assert again.status == 0 and "finished" in again.err


def test_predict_ends_by_the_signal(attend, trained):
    process = attend.start("predict", trained / "attention", "-")
    time.sleep(0.8)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGTERM, 143)


def test_resume_of_nothing(attend):
    attend.fails(2, "train", "--resume", "absent", names="absent")
    os.mkdir(attend.folder / "empty")
    done = attend("train", "--resume", "empty")
    assert done.status in (2, 3) and "empty" in done.err and done.err.count("\n") == 1
