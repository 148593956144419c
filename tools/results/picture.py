"""What the drawn results share: colours, text, the frame of a stand-alone SVG with its title."""

import html

INK, SOFT, EDGE, RULE, PAPER = "#1b1d21", "#565b65", "#868b94", "#dcdcd6", "#fcfcfa"


def text(x, y, words, fill=SOFT, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" {more}>{html.escape(words)}</text>'


def drawing(title, width, height, left, parts):
    """`parts` under the title, which begins at `left`."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="system-ui, sans-serif" font-size="12" role="img"><title>{title}</title>'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>'
        + text(left, 24, title, INK, 'font-size="16" font-weight="600"')
        + "\n".join(parts)
        + "</svg>\n"
    )
