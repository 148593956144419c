"""The generated parts of docs/translation.md, from the measurements of translation.py."""

import render
import stats
from picture import INK, RULE, drawing, text

NAMES = {
    "rnnenc": "RNNenc: no attention",
    "bahdanau": "RNNsearch (Bahdanau): additive",
    "luong-dot": "Luong: global, dot",
    "luong-general": "Luong: global, general",
    "luong-concat": "Luong: global, concat",
    "luong-location": "Luong: global, location",
    "luong-local-m": "Luong: local-m, general",
    "luong-local-p": "Luong: local-p, general",
    "transformer": "Transformer, 10 epochs averaged",
}
FEWEST = 25  # sentences of a length that the picture shows: fewer say too little
# Of the length picture: system -> (label, colour, dash); every hue has a second sign.
LINES = {
    "transformer": ("Transformer", "#1d4f91", ""),
    "bahdanau": ("RNNsearch", INK, "7 4"),
    "rnnenc": ("RNNenc", "#b4430c", "2 4"),
}


def present(document):
    return [name for name in NAMES if document["systems"].get(name)]


def spread(rows, part, metric, digits=1):
    """Of one seed its value, of several mean ± sd."""
    mean, sd = stats.mean_sd([row[part][metric] for row in rows])
    return f"{mean:.{digits}f}" + (f" ± {sd:.{digits}f}" if len(rows) > 1 else "")


def results_table(document):
    lines = []
    for name in present(document):
        rows = document["systems"][name]
        low, high = rows[0]["interval"]
        lines.append(
            [
                NAMES[name],
                spread(rows, "test", "bleu"),
                f"{low:.1f}–{high:.1f}",
                spread(rows, "test", "chrf"),
                spread(rows, "test", "perplexity", 2),
                f"{rows[0]['parameters'] / 1e6:.1f} M",
                " ".join(str(row["epochs"]) for row in rows),
                " ".join(f"{row['seconds'] / 60:.0f}" for row in rows),
            ]
        )
    header = "en → de|BLEU|95 % interval|chrF|perplexity|parameters|epochs|minutes"
    return render.table(header.split("|"), lines)


def commands(document):
    rows = [row for name in present(document) for row in document["systems"][name]]
    where = sorted({render.describe(row["where"]) for row in rows})
    return (
        "```sh\n"
        + "".join(row["command"] + "\n" for row in rows)
        + "```\n"
        + f"{rows[0]['n']:,} sentences; `{rows[0]['signature']}`; {'; '.join(where)}.\n"
    )


def length_table(document):
    names = [name for name in LINES if name in present(document)]
    first = document["systems"][names[0]][0]["by_length"]
    lines = []
    for k, part in enumerate(first):
        cells = [document["systems"][name][0]["by_length"][k] for name in names]
        values = [f"{c['bleu']:.1f} [{c['interval'][0]:.1f}, {c['interval'][1]:.1f}]" for c in cells]
        lines.append([f"{part['from']}–{part['to']}", part["n"], *values])
    header = ["words of the source", "sentences", *(LINES[name][0] for name in names)]
    return render.table(header, lines)


def parts(document):
    return {
        "results": results_table(document),
        "commands": commands(document),
        "length": length_table(document),
    }


class Axes:
    """Words of the source to the right, BLEU upwards."""

    LEFT, TOP, WIDTH, HEIGHT = 52, 44, 520, 270

    def __init__(self, parts, most):
        self.parts, self.most = parts, most

    def x(self, part, nudge=0.0):
        step = self.WIDTH / len(self.parts)
        return self.LEFT + (self.parts.index(part) + 0.5) * step + nudge

    def y(self, bleu):
        return self.TOP + self.HEIGHT * (1 - bleu / self.most)


def grid(axes, labels, counts):
    right, out = axes.LEFT + axes.WIDTH, []
    for bleu in range(0, int(axes.most) + 1, 10):
        y = axes.y(bleu)
        out.append(f'<path d="M{axes.LEFT} {y:.1f}H{right}" stroke="{RULE}"/>')
        out.append(text(axes.LEFT - 8, y + 4, str(bleu), more='text-anchor="end"'))
    bottom = axes.TOP + axes.HEIGHT
    for part, label, n in zip(axes.parts, labels, counts, strict=True):
        out.append(text(axes.x(part), bottom + 19, label, INK, 'text-anchor="middle"'))
        out.append(text(axes.x(part), bottom + 35, f"{n:,}", more='text-anchor="middle"'))
    out.append(text(right + 10, bottom + 19, "words of the source"))
    out.append(text(right + 10, bottom + 35, "sentences"))
    return out


def curve(axes, rows, place, label, colour, dash):
    nudge = 7 * (place - 1)  # so that the intervals of one length do not cover each other
    points = [(axes.x(r["from"], nudge), axes.y(r["bleu"]), r["interval"]) for r in rows]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in points)
    out = [
        f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"'
        + (f' stroke-dasharray="{dash}"' if dash else "")
        + "/>"
    ]
    for x, y, (low, high) in points:
        out.append(
            f'<path d="M{x:.1f} {axes.y(low):.1f}V{axes.y(high):.1f}" stroke="{colour}" opacity=".45"/>'
        )
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
    return out, (points[-1][0], points[-1][1], label, colour)


def length_picture(document):
    """BLEU by the source's length with its 95 % intervals, one line a system, as SVG."""
    names = [name for name in LINES if name in present(document)]
    by_length = {
        name: [p for p in document["systems"][name][0]["by_length"] if p["n"] >= FEWEST]
        for name in names
    }
    first = by_length[names[0]]
    top = max(part["interval"][1] for rows in by_length.values() for part in rows)
    axes = Axes([part["from"] for part in first], 10 * (int(top / 10) + 1))
    labels = [f"{part['from']}–{part['to']}" for part in first]
    out = grid(axes, labels, [part["n"] for part in first])
    ends = []
    for place, name in enumerate(names):
        drawn, end = curve(axes, by_length[name], place, *LINES[name])
        out += drawn
        ends.append(end)
    last = None
    for x, y, label, colour in sorted(ends, key=lambda end: end[1]):
        last = y if last is None else max(y, last + 17)  # labels never on each other
        out.append(text(axes.LEFT + axes.WIDTH + 10, last + 4, label, colour, 'font-weight="600"'))
    title = "BLEU by the length of the sentence that is translated"
    width, height = axes.LEFT + axes.WIDTH + 150, axes.TOP + axes.HEIGHT + 52
    return drawing(title, width, height, axes.LEFT - 36, out)
