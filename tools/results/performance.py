#!/usr/bin/env python3
"""The tables of docs/performance.md, from a document of `attend_bench --json --peers`, which
bench/publish.sh makes.

  tools/results/performance.py MEASURED.json   put its ops' rows into performance.json, and render
  tools/results/performance.py                 render again from that file
"""

import json
import math
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import render

KEPT = render.ROOT / "tools/results/performance.json"
DOCUMENT = render.ROOT / "docs/performance.md"
GUIDE_LAYER = {"B": 100, "T": 32, "I": 32, "H": 100}
SQUARE_LAYER = {"B": 64, "T": 32, "I": 256, "H": 256}
GUIDE_POOL = {"B": 100, "T": 32, "C": 100}
BOTH = "forward+backward"


def at_least(key, goal, text):
    return (key, goal, lambda value: value >= goal, text)


def at_most(key, goal, text):
    return (key, goal, lambda value: value <= goal, text)


def additive_shape(queries, prepared):
    shape = {"B": 64, "Lq": queries, "Lk": 30, "A": 256, "Dv": 256}
    return {**shape, "prepared": 1} if prepared else shape


def draw_shape(n):
    return {"B": 128, "C": 1, "height": 28, "width": 28, "N": n}


def encoder_shape(batch, length):
    return {"B": batch, "L": length, "C": 512, "H": 8, "F": 2048}


def decoding_shape(width, sentences, beam):
    layers = {128: 4, 512: 6}[width]
    return {"C": width, "layers": layers, "sentences": sentences, "beam": beam, "norm_last": 0}


# Decoding beside CTranslate2: precision, width, sentences, beam, the ratio to reach.
DECODING = [
    (precision, width, sentences, beam, goal)
    for precision, goals_of in (
        ("float32", {(64, 1): (2, 2), (64, 5): (1.5, 1.5), (1, 1): (1.5, 2.5)}),
        ("int8", {(64, 1): (2.5, 2.5), (64, 5): (1.8, 1.8), (1, 1): (1.5, 5)}),
    )
    for column, width in enumerate((128, 512))
    for (sentences, beam), pair in goals_of.items()
    for goal in (pair[column],)
]

# Scaled dot-product attention: shape, and the share of the peak to reach forward and backward.
SDPA = [
    ({"B": 8, "H": 8, "L": 32, "D": 16}, 0.60, 0.70),
    ({"B": 32, "H": 8, "L": 64, "D": 64}, 0.70, 0.70),
    ({"B": 8, "H": 8, "L": 128, "D": 64}, 0.80, 0.80),
    ({"B": 4, "H": 8, "L": 512, "D": 16}, 0.75, 0.82),
    ({"B": 4, "H": 8, "L": 512, "D": 32}, 0.83, 0.85),
    ({"B": 4, "H": 8, "L": 512, "D": 64}, 0.88, 0.88),
    ({"B": 4, "H": 8, "L": 512, "D": 128}, 0.88, 0.88),
    ({"B": 4, "H": 8, "L": 512, "D": 64, "causal": 1}, 0.75, 0.76),
    ({"B": 1, "H": 8, "L": 2048, "D": 64}, 0.88, 0.88),
    ({"B": 1, "H": 8, "L": 2048, "D": 64, "causal": 1}, 0.85, 0.85),
    ({"B": 1, "H": 8, "L": 4096, "D": 64, "causal": 1}, 0.85, 0.85),
]

def step_shape(batch, length, embedding, hidden, layers):
    return {"B": batch, "L": length, "E": embedding, "H": hidden, "N": layers, "V": 10000}


TRAINING_STEPS = [
    ("Transformer d128 4+4, B 256 L 15", "transformer", step_shape(256, 15, 128, 256, 4), 3),
    ("Transformer d512 6+6, B 32 L 25", "transformer", step_shape(32, 25, 512, 2048, 6), 1.7),
    ("RNNsearch e256 h512, B 64 L 15", "rnnsearch", step_shape(64, 15, 256, 512, 1), 1.7),
    ("Luong local-p 2 × 512, B 64 L 15", "luong_local_p", step_shape(64, 15, 512, 512, 2), 1.7),
]

# What the project set out to reach: title, how to find the row, goals.
GOALS = [
    (
        "one epoch of `guide/sentiment-lstm`, 1,600 rows",
        {"op": "epoch"},
        [at_least("ratio", 6, "≥ 6×")],
    ),
    (
        "`attend train guide/sentiment-lstm-attention`, whole process",
        {"op": "train-process"},
        [at_least("ratio", 10, "≥ 10×"), at_most("memory_ratio", 0.25, "≤ 25 % of its memory")],
    ),
    (
        "LSTM forward + backward, B100 T32 I32 H100",
        {"op": "lstm", "direction": BOTH, "dtype": "float32", "shape": GUIDE_LAYER},
        [at_least("ratio", 2.2, "≥ 2.2×"), at_least("fraction_of_peak", 0.8, "≥ 80 % of peak")],
    ),
    (
        "LSTM forward + backward, B64 T32 I256 H256",
        {"op": "lstm", "direction": BOTH, "dtype": "float32", "shape": SQUARE_LAYER},
        [at_least("ratio", 1.3, "≥ 1.3×"), at_least("fraction_of_peak", 0.8, "≥ 80 % of peak")],
    ),
    (
        "attention pooling forward + backward, B100 T32 C100",
        {"op": "pool", "direction": BOTH, "dtype": "float32", "shape": GUIDE_POOL},
        [at_least("ratio", 5, "≥ 5×")],
    ),
    *(
        (
            f"additive, Lq {lq} Lk 30 A 256, forward + backward{', keys prepared' if prepared else ''}",
            {"op": "additive", "direction": BOTH, "shape": additive_shape(lq, prepared)},
            [at_least("ratio", goal, f"≥ {goal}×")],
        )
        for lq, prepared, goal in ((1, False, 8), (1, True, 8), (30, False, 50))
    ),
    *(
        (
            f"vocabulary loss, N 3840 C {c} V 10,000, forward + backward",
            {"op": "vocabulary_loss", "direction": BOTH, "shape": {"N": 3840, "C": c, "V": 10000}},
            [
                at_least("ratio", ratio, f"≥ {ratio}×"),
                at_least("fraction_of_peak", peak, f"≥ {100 * peak:.0f} % of peak"),
            ],
        )
        for c, ratio, peak in ((128, 2.5, 0.80), (512, 1.6, 0.88))
    ),
    *(
        (
            f"DRAW {what}, B 128, 28 × 28, N {n}, forward + backward",
            {"op": f"filterbank_{what}", "direction": BOTH, "shape": draw_shape(n)},
            [at_least("ratio", goal, f"≥ {goal}×")],
        )
        for n, goal in ((2, 20), (5, 20), (12, 12))
        for what in ("read", "write")
    ),
    *(
        (
            f"encoder layer, C 512, 8 heads, L {length}, training step",
            {"op": "encoder_layer", "direction": BOTH, "shape": encoder_shape(batch, length)},
            [at_least("ratio", 1.5, "≥ 1.5×")],
        )
        for batch, length in ((32, 32), (4, 512))
    ),
    *(
        (
            f"decoder step ({cell.upper()}) with attention, B 64, H 512, Lk 30, forward + backward",
            {"op": f"decoder_step_{cell}", "direction": BOTH, "shape": {"B": 64, "H": 512, "Lk": 30}},
            [at_least("ratio", 3.5, "≥ 3.5×")],
        )
        for cell in ("gru", "lstm")
    ),
    *(
        (f"training step, {title}", {"op": f"train_{op}", "shape": shape}, [at_least("ratio", goal, f"≥ {goal}×")])
        for title, op, shape, goal in TRAINING_STEPS
    ),
    *(
        (
            f"Transformer of width {width} decodes {sentences} sentence{'s' * (sentences > 1)} in {precision}, "
            + ("greedy" if beam == 1 else f"beam {beam}"),
            {"op": "decoding", "dtype": precision, "shape": decoding_shape(width, sentences, beam)},
            [at_least("ratio", goal, f"≥ {goal}×")],
        )
        for precision, width, sentences, beam, goal in DECODING
    ),
    (
        "`attend predict` on one sentence, whole process",
        {"op": "predict-process"},
        [at_least("ratio", 15, "≥ 15×"), at_most("ours_ms", 500, "≤ 0.5 s")],
    ),
]


def time_text(ms):
    if ms is None:
        return "–"
    if ms >= 1000:
        return f"{ms / 1000:.2f} s"
    return f"{ms:.1f} ms" if ms >= 10 else f"{ms:.3f} ms"


def value_text(key, value):
    if value is None:
        return "not measured"
    if key == "ratio":
        return f"{value:.2f}×"
    return time_text(value) if key == "ours_ms" else f"{100 * value:.0f} %"


def find_all(rows, wanted, threads):
    """The rows of these properties with this number of threads."""
    same = lambda row: all(row.get(key) == value for key, value in wanted.items())
    return [row for row in rows if same(row) and row["threads"] == threads]


def find(rows, wanted, threads):
    """The first of them, or None."""
    return next(iter(find_all(rows, wanted, threads)), None)


def goals(d):
    threads = d["machine"]["cores"]
    lines = []
    for title, wanted, checks in GOALS:
        row = find(d["rows"], wanted, threads)
        if row is None:
            lines.append([title, "–", "–", "–", "not measured", "", "", ""])
            continue
        values = [row.get(key) for key, *_ in checks]
        met = all(v is not None and check(v) for v, (_, _, check, _) in zip(values, checks))
        limit = row.get("limit_ms")
        lines.append(
            [
                title,
                row["peer"],
                time_text(row["ours_ms"]),
                time_text(row["peer_ms"]),
                ", ".join(value_text(key, v) for v, (key, *_) in zip(values, checks)),
                f"{row['peer_ms'] / limit:.2f}×" if limit else "–",
                ", ".join(text for *_, text in checks),
                "yes" if met else "**no**",
            ]
        )
    header = ["what", "against", "ours", "theirs", "measured", "at most", "goal", "reached"]
    return render.table(header, lines)


def sdpa(d):
    """Share of the peak and ratio of every SDPA shape beside its goal, the geometric means, and forward beside the best of the
    peers on every number of threads that was measured."""
    threads = d["machine"]["cores"]
    lines, ratios = [], {"forward": [], "backward": []}
    for shape, *goals_of_shape in SDPA:
        line = [shape_text(shape)]
        for direction, goal in zip(ratios, goals_of_shape):
            wanted = {"op": "sdpa", "direction": direction, "shape": shape, "peer": "libtorch"}
            row = find(d["rows"], wanted, threads)
            if row is None:
                line += ["not measured", ""]
                continue
            ratios[direction].append((row["ratio"], row["peer_ms"] / row["limit_ms"]))
            share = row["fraction_of_peak"]
            mark = "" if share >= goal else " **no**"
            line += [f"{100 * share:.0f} % (≥ {100 * goal:.0f} %){mark}", f"{row['ratio']:.2f}×"]
        line += [best_peer(d["rows"], shape, n) for n in sorted({1, threads})]
        lines.append(line)
    mean = "{:.2f}× (≥ 2.4×), at most {:.2f}×"
    means = [
        mean.format(*map(geometric_mean, zip(*r))) if r else "not measured"
        for r in ratios.values()
    ]
    best = [f"best peer, {n} thread{'s' * (n > 1)}" for n in sorted({1, threads})]
    lines.append(["geometric mean over libtorch", "", means[0], "", means[1], *("" for _ in best)])
    header = ["shape", "forward, of peak", "ratio", "backward, of peak", "ratio"]
    return render.table([*header, *best], lines)


def geometric_mean(values):
    return math.prod(values) ** (1 / len(values))


def best_peer(rows, shape, threads):
    """The ratio to the fastest of libtorch, onnxruntime and OpenVINO in forward, and which one that was."""
    found = find_all(rows, {"op": "sdpa", "direction": "forward", "shape": shape}, threads)
    if not found:
        return "not measured"
    row = min(found, key=lambda row: row["ratio"])
    mark = "" if row["ratio"] >= 1 else " **no**"
    others = "" if len(found) == 3 else f", {len(found)} of 3 measured"
    return f"{row['ratio']:.2f}× ({row['peer']}{others}){mark}"


# Where only a window of keys is seen: op, its shape without the length, and the ratio to reach at length 4096.
WINDOWS = [
    ("local", {"D": 64, "window": 64}, 10),
    ("sdpa", {"B": 1, "H": 8, "D": 64, "window": 64}, 10),
]


def windows(d):
    """Time against length, and the exponent of the line through their logarithms: 1 is linear, 2 what a dense mask costs."""
    threads = d["machine"]["cores"]
    lines = []
    for op, shape, goal in WINDOWS:
        for direction in ("forward", "backward"):
            found = [
                row
                for row in find_all(d["rows"], {"op": op, "direction": direction}, threads)
                if {k: v for k, v in row["shape"].items() if k != "L"} == shape
            ]
            found.sort(key=lambda row: row["shape"]["L"])
            lines.append([f"{op} {direction}", *window_cells(found, goal)])
    header = ["op", "ours, ms at L", "exponent", "peer, ms at L", "exponent"]
    return render.table([*header, "ratio at L 4096"], lines)


def window_cells(rows, goal):
    if len(rows) < 2:
        return ["not measured", "", "", "", ""]
    cells = []
    for side in ("ours_ms", "peer_ms"):
        points = [(row["shape"]["L"], row[side]) for row in rows]
        cells.append(", ".join(f"{length}: {ms:.2f}" for length, ms in points))
        cells.append(f"{exponent(points):.2f}")
    at = next((row["ratio"] for row in rows if row["shape"]["L"] == 4096), None)
    if at is None:
        return [*cells, "not measured"]
    return [*cells, f"{at:.1f}× (≥ {goal}×){'' if at >= goal else ' **no**'}"]


def exponent(points):
    """The slope of the least-squares line through (log x, log y)."""
    xs, ys = ([math.log(p[i]) for p in points] for i in (0, 1))
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def decoding(d):
    """Every row of the op, in the order of the goals, with what it reaches of the limit."""
    lines = []
    for row in sorted(
        find_op(d["rows"], "decoding"),
        key=lambda r: (r["dtype"], r["shape"]["C"], -r["shape"]["sentences"], r["shape"]["beam"], r["threads"]),
    ):
        s = row["shape"]
        lines.append(
            [
                f"{row['dtype']}, width {s['C']}",
                f"{s['sentences']}, " + ("greedy" if s["beam"] == 1 else f"beam {s['beam']}"),
                row["threads"],
                f"{row['ours_ms']:.2f}",
                f"{row['peer_ms']:.2f}",
                f"{row['ratio']:.2f}×",
                f"{row['tokens_per_second']:,}",
                f"{100 * row['fraction_of_peak']:.0f} %",
                f"{row['limit_ms']:.2f} ({100 * row['limit_ms'] / row['ours_ms']:.0f} %)",
            ]
        )
    header = ["Transformer", "sentences, search", "threads", "ours, ms", "CTranslate2, ms", "ratio", "tokens/s", "of peak"]
    return render.table([*header, "limit, ms (reached)"], lines) if lines else "Not measured yet.\n"


def find_op(rows, op):
    return [row for row in rows if row["op"] == op]


def shape_text(shape):
    return " ".join(f"{name}{size}" for name, size in shape.items())


def kernels(d):
    lines = []
    for row in d["rows"]:
        if row["op"].endswith("process") or row["op"] in ("epoch", "decoding"):
            continue
        limit, ours = row.get("limit_ms"), row["ours_ms"]
        lines.append(
            [
                f"{row['op']} {row['direction']}",
                shape_text(row["shape"]),
                row["dtype"],
                row["threads"],
                f"{ours:.3f}",
                f"{row['peer_ms']:.3f} ({row['peer']})",
                f"{row['ratio']:.2f}×",
                f"{row['gflops']:.0f}" if row["gflops"] else "–",
                f"{100 * row['fraction_of_peak']:.0f} %" if row["fraction_of_peak"] else "–",
                f"{limit:.3f} ({100 * limit / ours:.0f} %)" if limit else "–",
            ]
        )
    header = [
        "op",
        "shape",
        "dtype",
        "threads",
        "ours, ms",
        "peer, ms",
        "ratio",
        "GFLOP/s",
        "of peak",
    ]
    return render.table([*header, "roofline, ms (reached)"], lines)


def processes(d):
    lines = []
    for row in d["rows"]:
        if "ours_peak_mb" not in row:
            continue
        ranges = [row.get(f"{side}_range_ms") or (None, None) for side in ("ours", "peer")]
        lines.append(
            [
                row["op"],
                *(f"{time_text(low)} … {time_text(high)}" for low, high in ranges),
                f"{row['ours_peak_mb']:.0f}" if row["ours_peak_mb"] else "–",
                f"{row['peer_peak_mb']:.0f}",
                row["runs"],
            ]
        )
    header = [
        "what",
        "ours, least … most",
        "Keras, least … most",
        "ours, peak MB",
        "Keras, peak MB",
        "runs",
    ]
    return render.table(header, lines)


def machine(d):
    m = d["machine"]
    peaks = "; ".join(
        f"{p['gflops']:.0f} GFLOP/s {p['dtype']} on {p['threads']} thread{'s' * (p['threads'] > 1)}"
        for p in m["peaks"]
    )
    measured = {}
    for op, where in d["where"].items():
        measured.setdefault(render.describe(where), []).append(f"`{op}`")
    rows = "; ".join(f"{', '.join(ops)}: {where}" for where, ops in measured.items())
    return (
        f"Measured with {m['compiler']}, libtorch {m['libtorch']}, vector path {m['fma_target']}. "
        f"Peak of fused multiply-adds: {peaks}. Where and when, by op: {rows}.\n"
    )


def parts(d):
    return {
        "machine": machine(d),
        "goals": goals(d),
        "sdpa": sdpa(d),
        "windows": windows(d),
        "decoding": decoding(d),
        "kernels": kernels(d),
        "processes": processes(d),
    }


def merge(kept, document):
    """The ops of `document` replace their own rows beside the same peer; other rows stay, and where they are from."""
    source = lambda row: (row["op"], row["peer"])
    named = lambda row: row["op"] if row["peer"] in ("libtorch", "composition") else f"{row['op']} {row['peer']}"
    where = {named(row): render.provenance() for row in document["rows"]}
    replaced = {source(row) for row in document["rows"]}
    others = [row for row in kept["rows"] if source(row) not in replaced]
    return {
        **kept,
        **document,
        "where": dict(sorted({**kept["where"], **where}.items())),
        "rows": sorted(others + document["rows"], key=lambda row: row["op"]),
    }


def main():
    if len(sys.argv) > 1:
        document = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
        kept = render.read_json(KEPT) if KEPT.exists() else {"where": {}, "rows": []}
        render.write_json(KEPT, merge(kept, document))
    render.replace(DOCUMENT, parts(render.read_json(KEPT)))
    print(f"{DOCUMENT.relative_to(render.ROOT)}: rendered from {KEPT.relative_to(render.ROOT)}")


if __name__ == "__main__":
    main()
