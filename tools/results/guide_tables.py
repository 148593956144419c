"""The generated parts of docs/guide.md, from the measurements of guide.py. No number here is typed
by hand, but for the two that the guide itself reports."""

import math
from statistics import fmean, median

import render
import stats

GUIDE = {"lstm": 308, "attention": 325}  # of 400 sentences: the guide's 77 % and 81.25 %
ROWS_OF_GUIDE = 400
DATA = {
    "uci-sentiment:amazon+yelp": "uci-sentiment, Amazon + Yelp",
    "hutto-reviews": "hutto-reviews, Amazon",
    "sst": "sst, binary",
    "synthetic-reviews": "synthetic-reviews",
}
SPLITS = {"last": "last 20 %", "random": "random 80/20", "own": "its own test part"}


def percent(value, digits=1):
    return f"{100 * value:.{digits}f}"


def spread(values, digits=1):
    mean, sd = stats.mean_sd(values)
    return f"{percent(mean, digits)} ± {percent(sd, digits)}"


def spread_and_median(values):
    return f"{spread(values)} ({percent(median(values))})"


def p_value(p):
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def present(d, names):
    """Those of the cells that have been measured."""
    return [name for name in names if name in d["cells"]]


def difference(cell):
    """attention − LSTM over the pairs; random splits share rows, which the test takes into account."""
    rows = cell["lstm"]["rows"]
    held_out = rows["test"] or rows["validation"]
    overlap = held_out / rows["train"] if cell["lstm"]["split"] == "random" else 0.0
    a, b = cell["attention"]["accuracy"], cell["lstm"]["accuracy"]
    return stats.paired_t(a, b, overlap), stats.wilcoxon(a, b), held_out


def accuracy_table(cells, names):
    lines = []
    for name in names:
        cell = cells[name]
        t, w, held_out = difference(cell)
        lines.append(
            [
                f"{DATA[cell['lstm']['data']]}: {SPLITS[cell['lstm']['split']]}",
                held_out,
                spread_and_median(cell["lstm"]["accuracy"]),
                spread_and_median(cell["attention"]["accuracy"]),
                f"{100 * t['mean']:+.1f} [{100 * t['low']:+.1f}, {100 * t['high']:+.1f}]",
                p_value(t["p"]),
                p_value(w["p"]),
            ]
        )
    return lines


def accuracies(d):
    header = [
        "accuracy, % (mean ± sd, median)",
        "held-out rows",
        "LSTM",
        "LSTM + attention",
        "difference [95 %], points",
        "paired t, p",
        "Wilcoxon, p",
    ]
    guide = [
        f"the guide itself, one run: {SPLITS['last']}",
        ROWS_OF_GUIDE,
        *(percent(GUIDE[m] / ROWS_OF_GUIDE, 2) for m in ("lstm", "attention")),
        f"{100 * (GUIDE['attention'] - GUIDE['lstm']) / ROWS_OF_GUIDE:+.2f}",
        "–",
        "–",
    ]
    names = ["uci-last", "uci-random", "hutto-last", "hutto-random", "sst"]
    return render.table(header, [guide, *accuracy_table(d["cells"], present(d, names))])


def command_block(d, names):
    """What a reader types for these cells (tests/docs runs it, shortened), and where it was measured."""
    cells = [d["cells"][name] for name in present(d, names)]
    if not cells:
        return ""
    lines = [cell[recipe]["command"] for cell in cells for recipe in ("lstm", "attention")]
    runs = sorted({len(cell["lstm"]["accuracy"]) for cell in cells})
    counts = " or ".join(str(n) for n in runs)
    places = sorted({render.describe(cell[recipe]["where"]) for cell in cells for recipe in cell})
    where = f"Seeds and random splits from 1, {counts} of each; {'; '.join(places)}."
    return "\n".join(["```sh", *lines, "```", where]) + "\n"


def commands(d):
    return command_block(d, ("uci-last", "uci-random", "hutto-last", "hutto-random", "sst"))


def pairs_of(cell):
    """For each seed: the number of rows that only the LSTM, and that only attention gets right."""
    return [
        (sum(a > b for a, b in zip(x, y)), sum(b > a for a, b in zip(x, y)))  # "1": right
        for x, y in zip(cell["lstm"]["right"], cell["attention"]["right"], strict=True)
    ]


def disagreement(cell):
    pairs = pairs_of(cell)
    return fmean(a + b for a, b in pairs) / len(cell["lstm"]["right"][0])


def mcnemar(d):
    lines = []
    for name in present(d, ("uci-last", "hutto-last", "sst")):
        cell = d["cells"][name]
        if "right" not in cell["lstm"]:
            continue
        pairs, n = pairs_of(cell), len(cell["lstm"]["right"][0])
        p = [stats.mcnemar(a, b) for a, b in pairs]
        better = sum(q < 0.05 and b > a for q, (a, b) in zip(p, pairs))
        worse = sum(q < 0.05 and a > b for q, (a, b) in zip(p, pairs))
        lines.append(
            [
                f"{DATA[cell['lstm']['data']]}: {SPLITS[cell['lstm']['split']]}",
                n,
                percent(fmean(a for a, _ in pairs) / n),
                percent(fmean(b for _, b in pairs) / n),
                f"{p_value(min(p))} … {p_value(max(p))}",
                f"{better} : {worse} of {len(p)}",
            ]
        )
    header = [
        "McNemar, seed by seed",
        "rows",
        "only LSTM right, %",
        "only attention right, %",
        "p, least … most",
        "p < .05, better : worse",
    ]
    return render.table(header, lines)


def power(d):
    """What one split of 400 rows can show, in numbers."""
    cell, n = d["cells"]["uci-last"], ROWS_OF_GUIDE
    share = disagreement(cell)
    mean = fmean(cell["lstm"]["accuracy"] + cell["attention"]["accuracy"])
    gap = GUIDE["attention"] - GUIDE["lstm"]
    discordant = max(gap, round(share * n / 2) * 2 - gap % 2)  # the same parity as the gap
    both = [cell[m]["accuracy"] for m in ("lstm", "attention")]
    chance = [abs(a - b) for values in both for i, a in enumerate(values) for b in values[:i]]
    one_run = [y - x for x in both[0] for y in both[1]]
    interval = lambda right: " to ".join(percent(v) for v in stats.wilson(right, n))
    lines = [
        ["95 % interval of the guide's 77 % (Wilson)", f"{interval(GUIDE['lstm'])} %"],
        ["95 % interval of the guide's 81.25 % (Wilson)", f"{interval(GUIDE['attention'])} %"],
        [
            f"the guide's difference, {gap} sentences of {n}: p, had the two models disagreed on as many sentences as ours "
            f"do ({percent(share)} %; exact McNemar)",
            p_value(stats.mcnemar((discordant - gap) // 2, (discordant + gap) // 2)),
        ],
        [
            f"smallest difference that {n} rows show with 80 % power, both models tested on the same rows",
            f"{percent(stats.detectable(mean, n, disagreement=share))} points",
        ],
        ["the same, each model on rows of its own", f"{percent(stats.detectable(mean, n))} points"],
        [
            "rows needed to show a difference of 1 point, on the same rows",
            f"{rows_for(0.01, share):,}",
        ],
        [
            "largest difference between two seeds of one model on this split (ours)",
            f"{percent(max(chance))} points",
        ],
        [
            "one run of each model, any two seeds: share of pairs in which attention is ahead (ours)",
            f"{percent(fmean(x > 0 for x in one_run), 0)} %",
        ],
    ]
    return render.table(["a split of 400 rows", ""], lines)


def rows_for(delta, share):
    """The least n whose detectable difference is `delta`, rounded up to two digits."""
    low, high = 10, 10_000_000
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if stats.detectable(0.8, middle, disagreement=share) <= delta
            else (middle + 1, high)
        )
    digits = 10 ** (len(str(low)) - 2)
    return -(-low // digits) * digits


def padding(d):
    cells = d["cells"]
    lines = []
    names = ("uci-last", "uci-last-masked", "uci-random", "uci-random-masked")
    for name in present(d, (*names, "synthetic", "synthetic-masked")):
        cell = cells[name]
        seen = cell["attention"].get("on_padding")
        lines.append(
            [
                f"{DATA[cell['lstm']['data']]}: {SPLITS[cell['lstm']['split']]}",
                "true" if name.endswith("masked") else "false",
                spread(cell["lstm"]["accuracy"]),
                spread(cell["attention"]["accuracy"]),
                f"{percent(fmean(seen))} %" if seen else "–",
            ]
        )
    header = [
        "accuracy, % (mean ± sd)",
        "mask_padding",
        "LSTM",
        "LSTM + attention",
        "attention on padding",
    ]
    commands_of_masked = command_block(d, ("uci-last-masked", "uci-random-masked"))
    return f"{render.table(header, lines)}\n{commands_of_masked}"


METHODS = {
    "attention": "attention",
    "leave_one_out": "leave one word out",
    "gradient_x_input": "gradient × input",
    "words": "equal or random weights",
}


def explanations(d):
    lines = []
    for name, recipe, title in (
        ("synthetic", "attention", "LSTM + attention, the guide's form"),
        ("synthetic-masked", "attention", "LSTM + attention, padding masked"),
        ("synthetic", "lstm", "LSTM, the guide's form"),
        ("synthetic-masked", "lstm", "LSTM, padding masked"),
    ):
        if name not in d["cells"]:
            continue
        trained = d["cells"][name][recipe]
        for method, label in METHODS.items():
            if method not in trained["shares"][0]:
                continue
            share = [s[method]["share"] for s in trained["shares"]]
            top = [s[method]["top"] for s in trained["shares"]]
            lines.append([title, label, spread(share), spread(top), spread(trained["accuracy"])])
    header = [
        "model",
        "explanation",
        "share on deciding words, %",
        "largest on a deciding word, %",
        "accuracy, %",
    ]
    table = render.table(header, lines)
    explain = d["cells"]["synthetic"]["attention"]["explain_command"]
    rows = d["cells"]["synthetic"]["lstm"]["rows"]["validation"]
    block = command_block(d, ("synthetic", "synthetic-masked"))
    return f"{table}\n{block}Each run then through `{explain}`: {rows} held-out reviews, which no training saw.\n"


def parts(d):
    """marker name -> Markdown."""
    return {
        "accuracy": accuracies(d),
        "commands": commands(d),
        "mcnemar": mcnemar(d),
        "power": power(d),
        "padding": padding(d),
        "explanations": explanations(d),
    }
