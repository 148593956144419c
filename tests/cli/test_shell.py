"""Man page and completion, checked by the programs that read them.

Mutations killed: '-' left for roff to turn into a hyphen; a verb missing in VERBS; completion that offers verbs after a
verb; option values not completed; a name with ':' completed twice over; a quote in a help text that breaks the script.
"""
import re
import shutil
import subprocess

import pytest
from conftest import PROGRAM


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("man") / "attend.1"
    path.write_text(subprocess.run([PROGRAM, "man"], capture_output=True, text=True, check=True).stdout)
    return path


@pytest.mark.skipif(not shutil.which("man"), reason="no man-db on this machine")
def test_man_renders_without_warnings(page):
    done = subprocess.run(["man", "--warnings=all", "-Tutf8", "-l", str(page)], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "MANWIDTH": "90", "LC_ALL": "C.UTF-8", "MANROFFOPT": "-ww"})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "\\-\\-resume" in page.read_text()
    text = re.sub(".\x08", "", done.stdout)
    for word in ("NAME", "SYNOPSIS", "VERBS", "EXIT STATUS", "ENVIRONMENT", "FILES", "attend train", "data make", "--resume",
                 "--grid"):
        assert word in text, word


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc on this machine")
def test_mandoc_has_nothing_to_say(page):
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", str(page)], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def bash(tmp_path, line):
    """What bash offers for a line, with its last word taken apart as readline would."""
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "reviews.tsv").touch()
    if not (tmp_path / "attend.bash").exists():
        (tmp_path / "attend.bash").write_text(subprocess.run([PROGRAM, "completion", "bash"], capture_output=True, text=True,
                                                             check=True).stdout)
    script = """
    source "$SCRIPT"
    COMP_LINE="$1" COMP_POINT=${#1}
    read -ra COMP_WORDS <<< "$1"; [[ $1 == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    _attend
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", line], capture_output=True, text=True, cwd=tmp_path,
                          env={"SCRIPT": str(tmp_path / "attend.bash"), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return set(done.stdout.split())


def test_bash(tmp_path):
    assert {"train", "data", "explain", "doctor"} <= bash(tmp_path, "attend ")
    assert bash(tmp_path, "attend tra") == {"train"}
    assert bash(tmp_path, "attend data ") == {"list", "info", "get", "make"}
    assert bash(tmp_path, "attend train --se") == {"--set", "--seed", "--seeds"}
    assert "guide/sentiment-lstm" in bash(tmp_path, "attend train guide/")
    assert "train" not in bash(tmp_path, "attend train ")
    assert "model.hidden=" in bash(tmp_path, "attend train guide/sentiment-lstm --set model.h")
    assert {"hutto-reviews", "hutto-reviews:amazon", "hutto-reviews:film"} == bash(tmp_path, "attend train x --data hut")
    assert "reviews.tsv" in bash(tmp_path, "attend train x --data rev")
    assert bash(tmp_path, "attend eval --split va") == {"validation"}
    assert "runs" in bash(tmp_path, "attend eval ru")
    assert bash(tmp_path, "attend completion ") == {"bash", "zsh", "fish"}
    assert "amazon" in bash(tmp_path, "attend train x --data uci-sentiment:am")      # ':' breaks words in bash


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh on this machine")
def test_zsh_script_is_sound(tmp_path):
    script = subprocess.run([PROGRAM, "completion", "zsh"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "_attend").write_text(script)
    assert subprocess.run(["zsh", "-n", tmp_path / "_attend"], capture_output=True, text=True).stderr == ""
    harness = f"""
    compadd() {{ [[ $1 == -S ]] && shift 2; print -l -- ${{(P)2}} }}
    _files() {{ print files $1 }}
    source {tmp_path / '_attend'}
    words=(attend "$@") CURRENT=$(( $# + 1 ))
    _attend
    """
    def offers(*words):
        done = subprocess.run(["zsh", "-f", "-c", harness, "zsh", *words], capture_output=True, text=True)
        assert done.stderr == "", done.stderr
        return set(done.stdout.split())
    assert {"train", "predict"} <= offers("")
    assert offers("data", "") == {"list", "info", "get", "make"}
    assert {"--seed", "--data"} <= offers("train", "-") and "guide/sentiment-lstm" in offers("train", "")
    assert offers("eval", "--split", "") == {"train", "validation", "test", "all"}
    assert "files" in offers("predict", "run", "--input", "")


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish on this machine")
def test_fish(tmp_path):
    script = subprocess.run([PROGRAM, "completion", "fish"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "attend.fish").write_text(script)
    (tmp_path / "reviews.tsv").touch()

    def offers(line):
        done = subprocess.run(["fish", "--no-config", "-c", f"source {tmp_path / 'attend.fish'}; complete -C '{line}'"],
                              capture_output=True, text=True, cwd=tmp_path, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
        assert done.stderr == "", done.stderr
        return {row.split("\t")[0] for row in done.stdout.splitlines()}
    assert {"train", "predict"} <= offers("attend ")
    assert offers("attend data ") >= {"list", "info", "get", "make"}
    assert {"--seed", "--seeds", "--set"} <= offers("attend train --se")
    assert "guide/sentiment-lstm" in offers("attend train guide/")
    assert offers("attend eval --split v") == {"validation"}
    assert "reviews.tsv" in offers("attend predict run --input r")
