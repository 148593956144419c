"""Bad input, row by row: one line that names file, line or key and the mend, the right status, nothing left behind.

Mutations killed: the message without its line number; status 1 or 4 for a bad file; the output folder made before the
data were read; a 100 MB line read whole; NaN accepted by --set; a run written to a full disk left without its error.
"""
import os
import pathlib
import random
import resource
import signal
import subprocess

import pytest
from conftest import PROGRAM, TINY, environment, tree, write_reviews

GOOD = b"a great film\t1\na bad film\t0\n" * 20

FILES = {
    "empty": (b"", ["bad.tsv", "empty"]),
    "no_labels": (b"a great film\na bad film\n" * 20, ["bad.tsv", "label"]),
    "label_out_of_range": (GOOD + b"a film\t100000\n", ["bad.tsv:41", "label"]),
    "one_class": (b"a great film\t1\n" * 20, ["bad.tsv", "class"]),
    "utf16": ("a great film\t1\n" * 20).encode("utf-16"), }
FILES["utf16"] = (FILES["utf16"], ["bad.tsv", "UTF-16"])


@pytest.mark.parametrize("name", FILES)
def test_training_file(attend, name):
    bytes_, names = FILES[name]
    (attend.folder / "bad.tsv").write_bytes(bytes_)
    attend.fails(3, "train", "guide/sentiment-lstm", "--data", "bad.tsv", "--out", "run", *TINY, names=names)
    assert os.listdir(attend.folder) == ["bad.tsv"]


@pytest.mark.parametrize("line,word", [(b"nul \0 byte\t1", "NUL"), (b"latin \xe9t\xe9\t1", "UTF-8")])
def test_bad_lines_are_reported_and_counted(attend, line, word):
    (attend.folder / "bad.tsv").write_bytes(GOOD + line + b"\n" + GOOD)
    done = attend("train", "guide/sentiment-lstm", "--data", "bad.tsv", "--out", "run", *TINY)
    assert done.status == 0 and "bad.tsv:41" in done.err and word in done.err
    (attend.folder / "bad.tsv").write_bytes((line + b"\n") * 3)
    attend.fails(3, "train", "guide/sentiment-lstm", "--data", "bad.tsv", "--out", "other", *TINY, names=["bad.tsv", word])
    assert not (attend.folder / "other").exists()


def test_a_line_of_100_megabytes_is_not_read_whole(attend):
    with open(attend.folder / "bad.tsv", "wb") as file:
        file.write(GOOD)
        for _ in range(100):
            file.write(b"word " * 200_000)
    usage = []

    def peak(data):
        call = [PROGRAM, "train", "guide/sentiment-lstm", "--data", data, "--out", "run", *TINY]
        with open(attend.folder / "err", "wb") as err:
            process = subprocess.Popen(call, stderr=err, stdout=subprocess.DEVNULL, cwd=attend.folder,
                                       env=environment(attend.folder))
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        usage.append(used.ru_maxrss)
        return process.returncode
    assert peak("absent.tsv") != 0
    assert peak("bad.tsv") == 3
    error = (attend.folder / "err").read_text()
    assert error.count("\n") == 1 and "bad.tsv:41" in error
    assert usage[1] - usage[0] < 50_000      # kilobytes
    assert not (attend.folder / "run").exists()


RECIPE = """[task]
kind = "classification"
[data]
name = "reviews.tsv"
[model]
{model}
[optim]
{optim}
"""


@pytest.mark.parametrize("model,optim,names", [
    ('hidden = "many"', "", ["r.toml:6", "model.hidden"]),
    ("hidden = -4", "", ["r.toml:6", "model.hidden"]),
    ("hiden = 4", "", ["r.toml:6", "hiden", "hidden"]),
    ("", "lr = nan", ["r.toml:8", "optim.lr"]),
    ("", "lr = inf", ["r.toml:8", "optim.lr"]),
    ("", "lr =", ["r.toml:8"]),
])
def test_recipe_file(attend, model, optim, names):
    (attend.folder / "r.toml").write_text(RECIPE.format(model=model, optim=optim))
    attend.fails(3, "train", "./r.toml", "--out", "run", names=names)
    assert os.listdir(attend.folder) == ["r.toml"]


@pytest.mark.parametrize("setting", ["optim.lr=nan", "model.hidden=-4", "model.hidden=x", "model.hidden=99999999999999999999",
                                     "model.hidden", "=3", "model.attention.kind=poll"])
def test_settings(attend, setting):
    write_reviews(attend.folder / "reviews.tsv", rows=40)
    key = setting.split("=")[0] or "="
    attend.fails(2, "train", "guide/sentiment-lstm", "--data", "reviews.tsv", "--set", setting, names=key)
    assert os.listdir(attend.folder) == ["reviews.tsv"]


def test_output_folder_that_cannot_be_written(attend):
    write_reviews(attend.folder / "reviews.tsv", rows=40)
    call = ["train", "guide/sentiment-lstm", "--data", "reviews.tsv", *TINY, "--out"]
    attend.fails(4, *call, "reviews.tsv/run", names="reviews.tsv/run")
    attend.fails(4, *call, "/proc/attend-run", names="/proc/attend-run")
    attend.fails(2, *call, "reviews.tsv", names="reviews.tsv")
    (attend.folder / "full").mkdir()
    (attend.folder / "full" / "precious").write_text("mine")
    attend.fails(2, *call, "full", names="full")
    assert tree(attend.folder / "full") == {"precious": b"mine"}
    attend.fails(4, "data", "make", "synthetic-reviews", "--out", "/proc/x", names="/proc/x")


def limit_file_size():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_a_disk_that_refuses_more(attend):
    """RLIMIT_FSIZE stands for a full disk where nothing may be mounted."""
    write_reviews(attend.folder / "reviews.tsv", rows=40)
    done = attend.fails(4, "train", "guide/sentiment-lstm", "--data", "reviews.tsv", "--out", "run", *TINY,
                        names="run/", preexec_fn=limit_file_size)
    assert "cannot write" in done.err
    left = tree(attend.folder)
    assert not any(".tmp" in name or name.endswith("SHA256SUMS") for name in left), left.keys()
    attend.fails(4, "data", "make", "synthetic-reviews", "--rows", "1000", "--out", "made", names="made/",
                 preexec_fn=limit_file_size)
    assert not any("made" in name for name in tree(attend.folder))


def test_full_disk(attend):
    """A real one: a tmpfs of 64 kB in a mount namespace of its own."""
    write_reviews(attend.folder / "reviews.tsv", rows=40)
    (attend.folder / "disk").mkdir()
    script = 'mount -t tmpfs -o size=64k none disk && { "$@"; status=$?; find disk -type f; exit $status; }'
    probe = subprocess.run(["unshare", "-rm", "sh", "-c", "mount -t tmpfs none disk"], cwd=attend.folder, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("this machine does not let a test mount a tmpfs")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, "sh", PROGRAM, "train", "guide/sentiment-lstm", "--data",
                           "reviews.tsv", "--out", "disk/run", *TINY, "--set", "model.hidden=100"],
                          cwd=attend.folder, env=environment(attend.folder), capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("attend: ") and "note" not in line]
    assert len(errors) == 1 and "disk/run/" in errors[0] and "No space left" in errors[0]
    assert ".tmp" not in done.stdout and "SHA256SUMS" not in done.stdout


def test_loss_that_turns_nan(attend):
    write_reviews(attend.folder / "reviews.tsv", rows=200)
    done = attend.fails(5, "train", "guide/sentiment-lstm", "--data", "reviews.tsv", "--out", "run", *TINY, "--set",
                        "optim.kind=sgd", "--set", "optim.lr=1000", "--set", "model.embedding_l2=1", "--set",
                        "train.batch=4", names=["step", "run"])
    assert "nan" in done.err.lower() or "finite" in done.err.lower()
    assert not (attend.folder / "run" / "SHA256SUMS").exists()
    assert os.listdir(attend.folder / "run" / "checkpoints")
    assert not [n for n in tree(attend.folder) if ".tmp" in n]


RUN_FILES = ["config.json", "model.safetensors", "tokenizer.json", "recipe.toml", "metrics.jsonl", "README.md", "SHA256SUMS"]


@pytest.mark.parametrize("name", RUN_FILES)
def test_one_flipped_bit(attend, copied, name):
    path = copied / "attention" / name
    good = path.read_bytes()
    bad = bytearray(good)
    place = random.Random(name).randrange(len(good))
    bad[place] ^= 1 << random.Random(place).randrange(8)
    path.write_bytes(bytes(bad))
    attend.fails(3, "predict", "attention", "a great film", names="attention/" if name == "SHA256SUMS" else f"attention/{name}")
    path.unlink()
    # Without its sums a run counts as one that was interrupted.
    attend.fails(3, "eval", "attention", names="--resume attention" if name == "SHA256SUMS" else f"attention/{name}")


def test_not_a_run(attend):
    (attend.folder / "empty").mkdir()
    attend.fails(3, "predict", "empty", "text", names=["empty", "SHA256SUMS"])
    attend.fails(2, "predict", "absent", "text", names="absent")
    pathlib.Path(attend.folder / "file").write_text("text")
    attend.fails(2, "predict", "file", "text", names="file")


def test_no_signal_ever(attend, copied):
    """Every prefix length of the weights file ends in a message, not in a crash."""
    path = copied / "attention" / "model.safetensors"
    good = path.read_bytes()
    for size in (0, 7, len(good) // 2):
        path.write_bytes(good[:size])
        done = attend("predict", "attention", "text")
        assert done.status == 3 and done.status != -signal.SIGSEGV, done.err
