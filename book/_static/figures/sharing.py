"""Draw sharing-*.svg: which values of a batch share one mean.

Run `python book/_static/figures/sharing.py` from the repository root.
"""

from pathlib import Path

HERE = Path(__file__).parent
BLUE = "var(--bn, #0072B2)"
TEXT, LINE, PALE = (
    "var(--pst-color-text-base, #222832)",
    "var(--pst-color-text-muted, #48566b)",
    "var(--pst-color-surface, #f3f4f5)",
)
FONT = "var(--pst-font-family-base, system-ui, sans-serif)"


def text(x, y, words, anchor="middle", weight=400):
    return (
        f'<text x="{x}" y="{y}" font-size="14" fill="{TEXT}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{words}</text>'
    )


def square(x, y, side, shared, rows=1):
    """One value, or with rows > 1 a feature map of rows x rows values."""
    fill = BLUE if shared else PALE
    edge = "#ffffff" if shared else LINE
    parts = [
        f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{fill}" '
        f'stroke="{LINE}" stroke-width="1"/>'
    ]
    for i in range(1, rows):
        at = side * i / rows
        parts.append(
            f'<path d="M{x + at:.1f} {y}v{side}M{x} {y + at:.1f}h{side}" stroke="{edge}" '
            'stroke-width="0.7" stroke-opacity="0.75" fill="none"/>'
        )
    return parts


def svg(name, height, parts, label):
    body = "\n".join(parts)
    (HERE / f"{name}.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 320 {height}" '
        f'width="100%" style="font-family: {FONT}" aria-label="{label}">\n{body}\n</svg>\n',
        encoding="utf-8",
    )


def dense():
    parts = [text(160, 16, "dense layer: x of shape (N, D)", weight=600)]
    side, left, top = 28, 90, 50
    for i in range(6):
        for k in range(5):
            parts += square(left + side * k, top + side * i, side, k == 2)
    parts.append(text(left + 2.5 * side, top - 8, "feature k"))
    parts.append(text(left - 10, top + 3 * side + 5, "example i", anchor="end"))
    svg(
        "sharing-dense",
        230,
        parts,
        "A grid of 6 examples by 5 features. One column, a single feature, is blue.",
    )


def maps():
    parts = [text(160, 16, "feature maps: x of shape (N, C, H, W)", weight=600)]
    side, step = 56, 20
    for n in range(3):
        x0, y0 = 12 + 102 * n, 64
        for c in reversed(range(3)):
            parts += square(
                x0 + step * c, y0 + step * (2 - c) + 4, side, c == 1, rows=4
            )
        parts.append(
            text(
                x0 + side / 2 + step, y0 + side + 2 * step + 26, f"example {n + 1}"
            )
        )
    parts.append(text(160, 50, "channel k of each"))
    svg(
        "sharing-maps",
        230,
        parts,
        "Three examples, each a stack of three feature maps of 4 by 4 values. "
        "The same map is blue in every example, with all of its positions.",
    )


if __name__ == "__main__":
    dense()
    maps()
