"""./dev demo, in this checkout, with one seed: what a newcomer types first."""
import json
import os
import pathlib
import re
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["ATTEND_SOURCE"])


def test_demo_trains_and_writes_the_report():
    env = dict(os.environ, ATTEND_DEMO_SEEDS="2")
    shared = SOURCE.parent / "shared" / "data"
    if "ATTEND_DATA" not in env and shared.is_dir():
        env["ATTEND_DATA"] = str(shared)
    done = subprocess.run(["./dev", "demo"], cwd=SOURCE, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    report = SOURCE / "runs" / "demo" / "report.html"
    assert done.stdout.rstrip().endswith(f"report: {report}")
    page = report.read_text()
    assert "Content-Security-Policy" in page and len(page) > 50_000
    assert "guide/sentiment-lstm-attention" in page
    for model in ["sentiment-lstm", "sentiment-lstm-attention"]:
        runs = sorted((SOURCE / "runs" / "demo" / model).glob("seed-*"))
        assert len(runs) == 2
        for run in runs:
            last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
            assert last["epoch"] == 10 and 0.6 < last["validation"]["accuracy"] < 1
    assert re.search(r"accuracy", done.stdout)
