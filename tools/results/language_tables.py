"""The generated parts of docs/language.md, from the measurements of language.py."""

import render
import stats

NAMES = {"lstm": "LSTM", "lstmn": "LSTMN", "transformer": "Transformer"}


def spread(rows, part, metric, digits):
    """Of one seed its value, of several mean ± sd."""
    mean, sd = stats.mean_sd([row[part][metric] for row in rows])
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if len(rows) > 1 else "")


def results_table(document):
    lines = []
    for data in sorted({row["data"] for row in document["rows"]}):
        for system, name in NAMES.items():
            rows = [r for r in document["rows"] if (r["data"], r["system"]) == (data, system)]
            if not rows:
                continue
            lines.append(
                [
                    data,
                    name,
                    spread(rows, "test", "perplexity", 2),
                    spread(rows, "test", "bits_per_character", 3),
                    spread(rows, "validation", "bits_per_character", 3),
                    f"{rows[0]['tokens'] / 1e6:.1f} M",
                    f"{rows[0]['parameters'] / 1e3:.0f} k",
                    " ".join(f"{row['seconds'] / 60:.0f}" for row in rows),
                ]
            )
    header = "data|system|perplexity|bits a character|of validation|read|parameters|minutes"
    return render.table(header.split("|"), lines)


def commands(document):
    rows = document["rows"]
    where = sorted({render.describe(row["where"]) for row in rows})
    return (
        "```text\n" + "".join(row["command"] + "\n" for row in rows) + "```\n" + "; ".join(where) + ".\n"
    )


def parts(document):
    return {"results": results_table(document), "commands": commands(document)}
