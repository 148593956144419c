"""Several processes train one model: attend launch, torchrun, variables set by hand; what a lost rank leaves behind.

Planted fault that these tests kill: another rank than the first writes into the run's folder. Others: tests/train/ranks_test.cpp.
"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest

from conftest import PROGRAM, SOURCE, TINY, Attend, environment, write_reviews

TORCHRUN = SOURCE / ".venv" / "bin" / "torchrun"
# Nothing drawn at random but the order: the same losses whatever the number of ranks.
EXACT = [*TINY, "--set", "model.dropout=0", "--set", "model.recurrent_dropout=0", "--set", "optim.kind=sgd",
         "--set", "optim.lr=0.05"]
# Long enough to be met by a signal; a checkpoint after each epoch.
LONG = [*EXACT, "--set", "train.epochs=100000", "--set", "train.batch=4", "--set", "train.checkpoint_seconds=0"]


def train(folder, *more, data="reviews.tsv", sizes=EXACT):
    return ["train", "guide/sentiment-lstm-attention", "--data", str(folder / data), *sizes, *more]


# Ranks wait for each other in every step: on a machine that does much else, a call takes many times as long.
PATIENCE = 300


class Patient(Attend):
    def __call__(self, *args, timeout=PATIENCE, **more):
        return super().__call__(*args, timeout=timeout, **more)


@pytest.fixture
def attend(tmp_path):
    return Patient(tmp_path)


@pytest.fixture
def reviews(attend):
    """This test's folder, with reviews.tsv in it."""
    write_reviews(attend.folder / "reviews.tsv")
    return attend.folder


def losses(folder):
    return [json.loads(line)["train"]["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_same_losses_as_one_process(attend, reviews):
    alone = attend(*train(reviews, "--out", "alone", "--json"))
    assert alone.status == 0, alone.err
    for n in (1, 2, 3):
        shared = attend("launch", "--nproc", str(n), "--", *train(reviews, "--out", f"shared-{n}", "--json"))
        assert shared.status == 0, shared.err
        said, wanted = shared.json, alone.json
        assert said["metrics"]["validation"] == pytest.approx(wanted["metrics"]["validation"], rel=1e-5)
        assert losses(reviews / f"shared-{n}") == pytest.approx(losses(reviews / "alone"), rel=1e-5)
        assert attend("eval", f"shared-{n}", "--json").json["metrics"]["loss"] == \
            pytest.approx(wanted["metrics"]["validation"]["loss"], rel=1e-5)
        made = (reviews / f"shared-{n}" / "recipe.toml").read_text()
        assert ("ranks = " in made) == (n > 1) and (n == 1 or f"ranks = {n}\n" in made)
        # Rank 0 alone tells of the epochs and the data.
        assert [line.split()[:2] for line in shared.err.splitlines()] == [line.split()[:2] for line in alone.err.splitlines()]


def test_number_words_are_translated_as_by_one(attend):
    how = ["--data", "number-words", "--set", "data.tokens=words", "--set", "model.hidden=8", "--set", "model.embedding_width=8",
           "--set", "model.attention.width=8", "--set", "model.dropout=0", "--set", "train.epochs=1",
           "--set", "train.early_stopping.patience=0", "--set", "train.decode_rows=0", "--set", "optim.kind=sgd",
           "--set", "optim.lr=0.05", "--threads", "1"]
    alone = attend("train", "translation/bahdanau", *how, "--out", "alone", "--json")
    assert alone.status == 0, alone.err
    shared = attend("launch", "--json", "--nproc", "2", "--", "train", "translation/bahdanau", *how, "--out", "shared")
    assert shared.status == 0, shared.err
    assert shared.json["metrics"]["validation"] == pytest.approx(alone.json["metrics"]["validation"], rel=1e-5)
    assert losses(attend.folder / "shared") == pytest.approx(losses(attend.folder / "alone"), rel=1e-5)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def variables(rank, size, port):
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port)}


def test_variables_set_by_hand_and_only_rank_0_writes(attend, reviews):
    port, started = free_port(), []
    for rank in range(2):
        (reviews / str(rank)).mkdir()
        started.append(subprocess.Popen([PROGRAM, *train(reviews, "--out", "run", "--json")], cwd=reviews / str(rank),
                                        env=environment(reviews, **variables(rank, 2, port)),
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    ends = [p.communicate(timeout=PATIENCE) for p in started]
    assert [p.returncode for p in started] == [0, 0], ends
    assert json.loads(ends[0][0])["epochs"] == 2 and b"epoch 2 " in ends[0][1]
    assert ends[1] == (b"", b"")
    assert (reviews / "0" / "run" / "SHA256SUMS").exists()
    assert list((reviews / "1").iterdir()) == []


@pytest.mark.skipif(not TORCHRUN.exists(), reason="no torchrun in .venv")
def test_torchrun_starts_it_as_well(attend, reviews):
    done = subprocess.run([TORCHRUN, "--no-python", "--nproc-per-node", "2", "--master-port", str(free_port()), PROGRAM,
                           *train(reviews, "--out", "run", "--json")], cwd=reviews, env=environment(reviews),
                          capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["epochs"] == 2
    alone = attend(*train(reviews, "--out", "alone"))
    assert alone.status == 0
    assert losses(reviews / "run") == pytest.approx(losses(reviews / "alone"), rel=1e-5)


def ranks_of(launcher):
    """Process ids by rank."""
    found = {}
    for task in pathlib.Path(f"/proc/{launcher}/task").iterdir():
        for child in (task / "children").read_text().split():
            variables_there = pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
            found[next(int(v[5:]) for v in variables_there if v.startswith(b"RANK="))] = int(child)
    return found


def wait_for(condition, seconds=PATIENCE):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


def begin(attend, reviews, n, name, *more):
    """A training that goes on for long, some epochs into it."""
    process = attend.start("launch", "--nproc", str(n), "--", *train(reviews, "--out", name, *more, sizes=LONG))
    history = reviews / name / "metrics.jsonl"
    wait_for(lambda: process.poll() is not None or (history.exists() and len(history.read_text().splitlines()) >= 2))
    assert process.poll() is None, process.communicate()
    return process


def last_step(run):
    return int((run / "checkpoints" / "latest").read_text().split()[0][5:14])


def gone(pid):
    try:
        return "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("lost, n", [(1, 2), (2, 3), (0, 2)])
def test_a_lost_rank_ends_all_and_leaves_what_to_resume_from(attend, reviews, lost, n):
    process = begin(attend, reviews, n, "run")
    ranks = ranks_of(process.pid)
    assert sorted(ranks) == list(range(n))
    os.kill(ranks[lost], signal.SIGKILL)
    out, err = (stream.decode() for stream in process.communicate(timeout=PATIENCE))
    assert process.returncode == 1 and out == "", err
    assert all(gone(pid) for pid in ranks.values())
    command = f"continue with: attend launch --nproc {n} -- train --resume run"
    told = err.splitlines()[-1]
    assert told.startswith(f"attend: rank {lost} of {n} (process {ranks[lost]}) was killed by SIGKILL"), err
    assert told.endswith(command), err
    if lost != 0:
        mine = next(line for line in err.splitlines() if line.startswith("attend: another rank was lost after step "))
        step = int(mine.split("after step ")[1].split(" ")[0])
        assert mine.endswith("the state is kept: " + command) and last_step(reviews / "run") == step
    else:
        assert "attend: rank 1: another rank was lost after step " in err and err.count(command) == 2, err
    before = last_step(reviews / "run")
    attend.fails(2, "train", "--resume", "run", names=[f"began with {n} ranks", f"launch --nproc {n}"])
    assert not (reviews / "run" / "SHA256SUMS").exists()
    again = attend.start("launch", "--nproc", str(n), "--", "train", "--resume", "run")
    wait_for(lambda: again.poll() is not None or last_step(reviews / "run") > before)
    again.send_signal(signal.SIGTERM)
    out, err = (stream.decode() for stream in again.communicate(timeout=PATIENCE))
    assert again.returncode == 143 and last_step(reviews / "run") > before, err


def test_what_a_lost_rank_leaves_goes_on_bit_for_bit(attend, reviews):
    how = ["--set", "train.epochs=25", "--set", "train.checkpoint_seconds=1000", "--set", "model.dropout=0.2"]
    process = begin(attend, reviews, 2, "run", *how)
    os.kill(ranks_of(process.pid)[1], signal.SIGKILL)
    assert process.wait(timeout=PATIENCE) == 1
    assert last_step(reviews / "run") >= 80   # written when the rank was lost: no other was due
    done = attend("launch", "--nproc", "2", "--", "train", "--resume", "run")
    assert done.status == 0, done.err
    whole = attend("launch", "--nproc", "2", "--", *train(reviews, "--out", "whole", *how, sizes=LONG))
    assert whole.status == 0, whole.err
    assert (reviews / "run" / "model.safetensors").read_bytes() == (reviews / "whole" / "model.safetensors").read_bytes()
    assert losses(reviews / "run") == losses(reviews / "whole")


def test_a_signal_is_passed_on_and_the_run_goes_on_bit_for_bit(attend, reviews):
    how = ["--set", "train.epochs=30", "--set", "model.dropout=0.2"]
    whole = attend("launch", "--nproc", "2", "--", *train(reviews, "--out", "whole", *how))
    assert whole.status == 0, whole.err
    stopped = attend.start("launch", "--nproc", "2", "--", *train(reviews, "--out", "run", *how))
    wait_for(lambda: stopped.poll() is not None or (reviews / "run" / "metrics.jsonl").exists())
    stopped.send_signal(signal.SIGINT)
    out, err = (stream.decode() for stream in stopped.communicate(timeout=PATIENCE))
    if stopped.returncode != 0:  # it may have been quicker than the signal
        assert stopped.returncode == 130, err
        assert [line for line in err.splitlines() if line.startswith("attend: stopped")] == [
            "attend: stopped by SIGINT; continue with: attend launch --nproc 2 -- train --resume run"]
        done = attend("launch", "--nproc", "2", "--", "train", "--resume", "run")
        assert done.status == 0, done.err
    assert (reviews / "run" / "model.safetensors").read_bytes() == (reviews / "whole" / "model.safetensors").read_bytes()


def test_ranks_end_with_their_launcher(attend, reviews):
    process = begin(attend, reviews, 2, "run")
    ranks = ranks_of(process.pid)
    process.kill()
    process.communicate(timeout=PATIENCE)
    wait_for(lambda: all(gone(pid) for pid in ranks.values()))


def test_what_fails_on_all_is_told_once(attend, reviews):
    launch = ["launch", "--nproc", "2", "--"]
    attend.fails(2, *launch, "train", "guide/sentiment-lsmt", names=["guide/sentiment-lstm"])
    attend.fails(2, *launch, "train", "--resume", "nowhere", names=["nowhere is not a run"])
    attend.fails(3, *launch, *train(reviews, data="nothing.tsv"), names=["nothing.tsv"])
    (reviews / "taken").mkdir()
    (reviews / "taken" / "file").write_text("")
    attend.fails(2, *launch, *train(reviews, "--out", "taken"), names=["taken is not empty"])
    grows = ["--set", "optim.lr=1000", "--set", "model.embedding_l2=1", "--set", "train.clip_norm=0", "--set", "train.batch=4"]
    attend.fails(5, *launch, *train(reviews, *grows), names=["lower optim.lr"])


def test_what_makes_no_sense_is_refused(attend, reviews):
    attend.fails(2, "launch", "--nproc", "0", "--", *train(reviews), names=["--nproc", "from 1 to 1024", "'0'"])
    attend.fails(2, "launch", "--", *train(reviews), names=["--nproc N"])
    attend.fails(2, "launch", "--nproc", "2", names=["COMMAND"])
    attend.fails(2, "launch", "--nproc", "2", "--", "predict", "run", names=["train …", "'predict'"])
    for name, value in [("RANK", "2"), ("MASTER_PORT", ""), ("WORLD_SIZE", "x")]:
        attend.fails(2, *train(reviews), env={**variables(0, 2, 29500), name: value}, names=[name])
    attend.fails(2, "sweep", "guide/sentiment-lstm", "--grid", "optim.lr=1,2", env=variables(0, 2, 29500), names=["--jobs"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        attend.fails(1, *train(reviews), env=variables(0, 2, port), names=[str(port), "in use", "MASTER_PORT"])


def test_more_ranks_than_rows(attend, reviews):
    shared = attend("launch", "--nproc", "3", "--", *train(reviews, "--out", "shared", "--set", "train.batch=2", "--set", "train.epochs=1"))
    alone = attend(*train(reviews, "--out", "alone", "--set", "train.batch=2", "--set", "train.epochs=1"))
    assert shared.status == 0, shared.err
    assert alone.status == 0, alone.err
    assert losses(reviews / "shared") == pytest.approx(losses(reviews / "alone"), rel=1e-5)


def test_every_seed_is_shared_and_so_are_the_cores(attend, reviews):
    sizes = [word for word in EXACT if word not in ("--threads", "1")]
    done = attend("launch", "--nproc", "2", "--", *train(reviews, "--seeds", "2", "--json", sizes=sizes))
    assert done.status == 0, done.err
    runs = [reviews / run["run"] for run in done.json["runs"]]
    assert len(runs) == 2 and runs[0].parent == runs[1].parent
    assert list((reviews / "runs").iterdir()) == [runs[0].parent]
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    for run in runs:
        assert f"\nthreads = {threads}\nranks = 2\n" in (run / "recipe.toml").read_text()
