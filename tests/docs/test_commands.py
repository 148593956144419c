"""Runs every command and snippet that a document shows.

In README.md and docs/**/*.md a block marked sh holds commands, one a line (a trailing backslash continues it). They run in order, in a
folder of the document's own, with the built program on PATH. What would take long is shortened, never skipped: seeds to one, training to
one epoch, multi30k to its short sentences. A command whose data this machine doesn't have is not run, nor are those that read its run. `./dev` lines are commands of the checkout: their verb must exist; `./dev test` is what runs this file, and the demo has a
test of its own (test_demo.py). Blocks marked python run with .venv's interpreter. Blocks marked cpp must stand, to the letter, in a file of
examples/, all of which are compiled and run.
"""
import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["ATTEND_SOURCE"])
PROGRAM = pathlib.Path(os.environ["ATTEND_PROGRAM"])
DOCUMENTS = [SOURCE / "README.md", *sorted((SOURCE / "docs").rglob("*.md"))]
REAL_SETS = {"cluttered-mnist", "coco-mini", "fashion-mnist", "hutto-reviews", "imagenet-cnn", "minilm", "mnist", "multi30k", "sst", "tinyshakespeare", "uci-sentiment", "war-and-peace"}
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.M | re.S)


def blocks(document, *languages):
    return [body for language, body in BLOCK.findall(document.read_text()) if language in languages]


def commands(document):
    lines = []
    for body in blocks(document, "sh", "bash"):
        for line in body.replace("\\\n", " ").splitlines():
            line = line.split("  #")[0].strip()
            if line and not line.startswith("#"):
                lines.append(line)
    return lines


def shortened(command):
    """The same command with one seed, one round of a loop and one epoch."""
    command = re.sub(r"--seeds \d+", "--seeds 1", command)
    command = re.sub(r"\$\(seq \d+\)", "1", command)
    command = command.replace("--data multi30k", "--data multi30k --set data.max_tokens=8")
    if "train.epochs" in command:
        return re.sub(r"train\.epochs=\d+", "train.epochs=1", command)
    return re.sub(r"\battend (train|sweep) [\w/-]+", r"\g<0> --set train.epochs=1", command)


def environment():
    env = dict(os.environ, PATH=f"{PROGRAM.parent}:{SOURCE}:{os.environ['PATH']}")
    shared = SOURCE.parent / "shared" / "data"
    if "ATTEND_DATA" not in env and shared.is_dir():
        env["ATTEND_DATA"] = str(shared)
    return env


def needs_missing_data(command, env):
    """The name of a real data set that the command asks for and this machine doesn't have."""
    encoders = re.findall(r"\b(?:minilm|imagenet-cnn)\b", re.sub(r"\bcaptioning/(coco-mini|flickr8k)\b", "imagenet-cnn", command))
    for name in re.findall(r"(?:--data|data make) ([\w-]+)", command) + encoders:   # encoders are named by recipes
        if name in REAL_SETS:
            info = subprocess.run([PROGRAM, "data", "info", name, "--json"], env=env, capture_output=True, text=True)
            if json.loads(info.stdout)["folder"] is None:
                return name
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(SOURCE)))
def test_commands_run(document, tmp_path):
    env, verbs = environment(), subprocess.run([SOURCE / "dev"], capture_output=True, text=True).stdout
    ran, not_made = 0, set()
    (tmp_path / "docs/images").mkdir(parents=True)   # where the checkout has its pictures
    for line in commands(document):
        words = shlex.split(line)
        if words[0] == "./dev" or re.match(r"\w+=\S+ \./dev", line):
            verb = words[words.index("./dev") + 1]
            assert re.search(rf"^  {verb}\b", verbs, re.M), f"{document.name}: ./dev has no verb {verb}"
            continue
        if words[0] == "tools/results/guide.py" or words[0].startswith(("bench/", "tools/", "python", "cmake", "build/")):
            first = next(w for w in words if "/" in w or w == "cmake")
            assert first == "cmake" or first.startswith("build/") or (SOURCE / first).exists(), line
            continue
        missing = needs_missing_data(line, env) or next((run for run in not_made if run in words), None)
        if missing:
            print(f"not run, {missing} is not on this machine: {line}")
            not_made.update(words[words.index("--out") + 1 :][:1] if "--out" in words else [])
            continue
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", shortened(line)], cwd=tmp_path, env=env,
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{document.name}: {line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        ran += 1
    if document == SOURCE / "README.md":
        assert ran >= 6, "the README shows fewer commands than it should"


def test_pictures_of_the_gallery_stand_beside_what_makes_them():
    sections = (SOURCE / "docs/gallery.md").read_text().split("\n## ")[1:]
    shown = [(section, name) for section in sections for name in re.findall(r"\]\((images/[^)]+)\)", section)]
    assert len(shown) >= 9
    for section, name in shown:
        assert re.search(rf" docs/{re.escape(name)}(?: |$)", "".join(body for _, body in BLOCK.findall(section)), re.M), f"no command makes {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(SOURCE)))
def test_python_runs(document):
    python = SOURCE / ".venv" / "bin" / "python"
    for body in blocks(document, "python"):
        done = subprocess.run([python, "-c", body], env=environment(), capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(SOURCE)))
def test_cpp_is_an_example(document):
    examples = {path.name: path.read_text() for path in (SOURCE / "examples").glob("*.cpp")}
    for body in blocks(document, "cpp"):
        if "int main" in body:
            assert any(body.strip() in text for text in examples.values()), f"no file of examples/ holds:\n{body}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d.relative_to(SOURCE)))
def test_links_lead_somewhere(document):
    prose = re.sub(r"```.*?```|^    .*?$|`[^`\n]*`", "", document.read_text(), flags=re.S | re.M)   # [a](b) in code is no link
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
