"""The generated parts of docs/generation.md, and its curve, from the measurements of generation.py."""

import render
from picture import INK, RULE, drawing, text

NAMES = {"draw": "DRAW, windows of 2 × 2 and 5 × 5", "draw-no-attention": "DRAW without attention"}
LINES = {"draw": ("with attention", "#1d4f91"), "draw-no-attention": ("without", "#b4430c")}
LEFT, TOP, WIDTH, HEIGHT = 60, 48, 560, 260  # of the plot


def results_table(document):
    lines = []
    for row in document["rows"]:
        test = row["test"]
        low, high = test["interval"]
        lines.append(
            [
                NAMES[row["system"]],
                f"≤ {test['metrics']['elbo_nats']:.2f}",
                f"{low:.2f}–{high:.2f}",
                f"{test['metrics']['kl_nats']:.1f}",
                f"{-test['metrics']['log_likelihood_nats']:.2f} ({test['images']} images, K = {test['samples']:,})",
                f"{row['parameters'] / 1e6:.2f} M",
                row["epochs"],
                f"{row['seconds'] / 60:.0f}",
            ]
        )
    header = "|−log p, nats|95 % interval|KL|importance-weighted|parameters|epochs|minutes"
    return render.table(header.split("|"), lines)


def commands(document):
    rows = document["rows"]
    where = sorted({render.describe(row["where"]) for row in rows})
    return "```text\n" + "".join(row["command"] + "\n" for row in rows) + "```\n" + "; ".join(where) + ".\n"


def parts(document):
    return {"results": results_table(document), "commands": commands(document)}


def curve_picture(document):
    """The bound on the validation images after each epoch, one line a system, as SVG."""
    rows = document["rows"]
    epochs = max(row["curve"][-1][0] for row in rows)
    # The first epochs would flatten all that follows.
    values = [v for row in rows for epoch, _, v in row["curve"] if epoch > epochs / 10]
    low, high = 5 * int(min(values) / 5), 5 * (int(max(values) / 5) + 1)

    def x(epoch):
        return LEFT + WIDTH * epoch / epochs

    def y(nats):
        return TOP + HEIGHT * (high - nats) / (high - low)

    out = []
    for nats in range(low, high + 1, 5):
        out.append(f'<path d="M{LEFT} {y(nats):.1f}H{LEFT + WIDTH}" stroke="{RULE}"/>')
        out.append(text(LEFT - 8, y(nats) + 4, str(nats), more='text-anchor="end"'))
    for epoch in range(0, epochs + 1, max(1, round(epochs / 10))):
        out.append(text(x(epoch), TOP + HEIGHT + 19, str(epoch), INK, 'text-anchor="middle"'))
    out.append(text(LEFT + WIDTH + 14, TOP + HEIGHT + 19, "epochs"))
    for row in rows:
        label, colour = LINES[row["system"]]
        points = [(x(epoch), y(v)) for epoch, _, v in row["curve"] if low <= v <= high]
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        out.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        a, b = points[-1]
        last = row["curve"][-1][2]
        out.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>')
        out.append(text(a + 12, b + 4, f"{label}: {last:.1f}", colour, 'font-weight="600"'))
    title = "Bound on −log p of the validation images, nats"
    width, height = LEFT + WIDTH + 170, TOP + HEIGHT + 40
    return drawing(title, width, height, LEFT - 36, out)
