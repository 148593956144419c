"""Generated parts of the documents: what stands between `<!-- begin NAME -->` and `<!-- end NAME -->`
is written by a script."""

import datetime
import json
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def replace(path, parts):
    """Puts `parts` (name -> Markdown) between their markers in the document; every marker must be there once."""
    path = pathlib.Path(path)
    path.write_text(replaced(path.read_text(encoding="utf-8"), parts, path), encoding="utf-8")


def replaced(text, parts, path="the document"):
    for name, content in parts.items():
        pattern = re.compile(
            rf"(<!-- begin {re.escape(name)} -->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL
        )
        text, count = pattern.subn(lambda m, c=content: m[1] + c.rstrip("\n") + "\n" + m[2], text)
        if count != 1:
            raise SystemExit(
                f"{path}: expected the markers of '{name}' once, found them {count} times"
            )
    return text


def table(header, rows):
    """A Markdown table; the first column is left, the others right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def provenance():
    """Where and when: date (UTC), commit, processor, cores, system."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = next(
            (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
            "unknown",
        )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    cores = len(os.sched_getaffinity(0))
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "cpu": cpu,
        "cores": cores,
        "commit": commit.stdout.strip() or "unknown",
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe(where):
    return f"{where['date']}, {where['cores']} cores of {where['cpu']}, commit {where['commit']}"


def write_json(path, document):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
