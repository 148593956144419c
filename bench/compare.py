#!/usr/bin/env python3
"""bench/compare.py OLD.json NEW.json: what got slower between two `attend_bench --json` documents.

Rows are matched by op, direction, shape, dtype, threads and peer. Machines differ from day to day, so times are compared
after dividing by the peer's time of the same run (the change of `ratio`); `--absolute` compares milliseconds instead.
Exit status 1 when a row got slower by more than --tolerance.
"""

import argparse
import json
import sys


def key(row):
    shape = " ".join(f"{name}{size}" for name, size in row["shape"].items())
    return (row["op"], row["direction"], shape, row["dtype"], row["threads"], row["peer"])


def rows(path):
    with open(path, encoding="utf-8") as file:
        return {key(row): row for row in json.load(file)["rows"]}


def slowdown(old, new, absolute):
    """> 1: slower now."""
    if absolute or not old.get("ratio") or not new.get("ratio"):
        return new["ours_ms"] / old["ours_ms"]
    return old["ratio"] / new["ratio"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="fraction that counts as noise (0.05)"
    )
    parser.add_argument(
        "--absolute", action="store_true", help="milliseconds, not the ratio to the peer"
    )
    arguments = parser.parse_args()
    old, new = rows(arguments.old), rows(arguments.new)
    slower = 0
    for k in sorted(old.keys() & new.keys(), key=str):
        change = slowdown(old[k], new[k], arguments.absolute)
        if abs(change - 1) <= arguments.tolerance:
            continue
        slower += change > 1
        print(
            f"{'slower' if change > 1 else 'faster'} {max(change, 1 / change):5.2f}×  {old[k]['ours_ms']:.3f} -> "
            f"{new[k]['ours_ms']:.3f} ms  {' '.join(map(str, k))}"
        )
    for k in sorted(old.keys() - new.keys(), key=str):
        print(f"gone   {' '.join(map(str, k))}")
    for k in sorted(new.keys() - old.keys(), key=str):
        print(f"new    {' '.join(map(str, k))}")
    print(
        f"{len(old.keys() & new.keys())} rows compared, {slower} slower by more than {arguments.tolerance:.0%}"
    )
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
