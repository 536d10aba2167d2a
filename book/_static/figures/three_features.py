"""Draw three-features-*.svg: one batch before the transform, after it, and given back.

Run `python book/_static/figures/three_features.py` from the repository root. The numbers are real:
32 wines of the data set that ships with scikit-learn, drawn with a fixed seed.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine

HERE = Path(__file__).parent
FEATURES = ["alcohol", "magnesium", "proline"]
EPS = 1e-5
BLUE, VERMILLION = "var(--bn, #0072B2)", "#D55E00"
TEXT, MUTED, LINE = (
    "var(--pst-color-text-base, #222832)",
    "var(--pst-color-text-muted, #48566b)",
    "var(--pst-color-border, #c9c9c9)",
)
FONT = "var(--pst-font-family-base, system-ui, sans-serif)"


def batch():
    wine = load_wine()
    columns = [wine.feature_names.index(name) for name in FEATURES]
    rows = np.random.default_rng(0).choice(len(wine.data), size=32, replace=False)
    return wine.data[np.ix_(rows, columns)]


def text(x, y, words, size=13, fill=TEXT, anchor="start", weight=400):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" '
        f'text-anchor="{anchor}" font-weight="{weight}">{words}</text>'
    )


def panel(x0, y0, width, title, values, limits, ticks, labels, color):
    """One axis shared by the three features: a row of dots for each."""
    low, high = limits

    def place(v):
        return x0 + 6 + (width - 12) * (v - low) / (high - low)

    parts = [text(x0, y0 + 14, title, size=14, weight=600)]
    jitter = (np.arange(len(values)) * 0.618034) % 1.0 - 0.5
    for row, name in enumerate(FEATURES):
        top = y0 + 30 + 56 * row
        parts.append(text(x0, top + 10, name, fill=MUTED))
        parts.append(text(x0 + width, top + 10, labels[row], anchor="end"))
        middle = top + 31
        parts.append(
            f'<line x1="{x0}" x2="{x0 + width}" y1="{middle}" y2="{middle}" stroke="{LINE}"/>'
        )
        parts.append(f'<g fill="{color}" fill-opacity="0.7">')
        for v, j in zip(values[:, row], jitter, strict=True):
            parts.append(
                f'<circle cx="{place(v):.1f}" cy="{middle + 18 * j:.1f}" r="3.4"/>'
            )
        parts.append("</g>")
    base = y0 + 30 + 56 * len(FEATURES) + 2
    for tick in ticks:
        words = f"{tick:g}".replace("-", "−")
        at = place(tick)
        parts.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{base - 4}" y2="{base}" stroke="{MUTED}"/>'
        )
        parts.append(
            text(at, base + 14, words, size=12, fill=MUTED, anchor="middle")
        )
    return parts


def arrow(x, y, words, direction):
    """A step from one panel to the next, to the right or down."""
    turn = 90 if direction == "down" else 0
    head = (
        f'<g transform="translate({x} {y}) rotate({turn})" stroke="{TEXT}" fill="none" '
        'stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">'
        '<path d="M-11 0H11M5 -6L11 0L5 6"/></g>'
    )
    if direction == "down":
        return [head, text(x + 20, y + 5, " ".join(words))]
    lines = [
        text(x, y - 14 - 16 * (len(words) - 1 - i), w, anchor="middle")
        for i, w in enumerate(words)
    ]
    return [head, *lines]


def svg(name, width, height, parts, label):
    style = f"font-family: {FONT}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="three-features-{name}" role="img" '
            f'viewBox="0 0 {width} {height}" width="100%" style="{style}" aria-label="{label}">',
            *parts,
            "</svg>\n",
        ]
    )


def main():
    x = batch()
    mean, s = x.mean(axis=0), np.sqrt(x.var(axis=0) + EPS)
    x_hat = (x - mean) / s
    y = s * x_hat + mean
    assert np.abs(y - x).max() < 1e-12

    measured = [
        f"{m:.{d}f} ± {v:.{d}f}" for m, v, d in zip(mean, s, (1, 0, 0), strict=True)
    ]
    unit = [
        f"{abs(m):.0f} ± {v:.0f}"
        for m, v in zip(x_hat.mean(0), x_hat.std(0), strict=True)
    ]
    label = (
        "Three dot plots of the same 32 wines. As measured, on one axis from 0 to 1700, "
        f"alcohol ({measured[0]}) and magnesium ({measured[1]}) are narrow clumps near zero and "
        f"proline ({measured[2]}) fills the axis. Normalized, all three are centered at 0 with "
        "standard deviation 1. Scaled by gamma and shifted by beta, the first picture is back."
    )
    raw = dict(limits=(0, 1700), ticks=(0, 500, 1000, 1500))
    normal = dict(limits=(-4.2, 4.2), ticks=(-3, 0, 3))
    panels = [
        dict(
            title="As measured", values=x, labels=measured, color=VERMILLION, **raw
        ),
        dict(title="Normalized", values=x_hat, labels=unit, color=BLUE, **normal),
        dict(
            title="Scaled and shifted", values=y, labels=measured, color=BLUE, **raw
        ),
    ]
    steps = [("− mean", "÷ std"), ("× γ", "+ β")]

    wide, narrow = [], []
    w, gap = 196, 76
    for i, p in enumerate(panels):
        wide += panel(i * (w + gap), 0, w, **p)
        narrow += panel(0, i * 266, 340, **p)
    for i, words in enumerate(steps):
        wide += arrow((i + 1) * w + (i + 0.5) * gap, 124, words, "right")
        narrow += arrow(14, (i + 1) * 266 - 26, words, "down")
    for name, width, height, parts in [
        ("wide", 3 * w + 2 * gap, 220, wide),
        ("narrow", 340, 2 * 266 + 220, narrow),
    ]:
        (HERE / f"three-features-{name}.svg").write_text(
            svg(name, width, height, parts, label), encoding="utf-8"
        )
    print(f"largest |y - x|: {np.abs(y - x).max():.1e}")


if __name__ == "__main__":
    main()
