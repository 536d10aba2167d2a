"""One look for every figure: a style, a palette with one meaning a color, and two ways to draw.

The colors are those of Okabe and Ito, told apart by color-blind readers; they also differ in
lightness, so that they survive a grey print.
"""

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler

COLORS = {
    "batch norm": "#0072B2",
    "plain": "#D55E00",
    "other norm": "#009E73",
    "truth": "#4D4D4D",
    "accent": "#CC79A7",
    "light": "#BDBDBD",
}
"""What each color means, through the whole book."""


def use_style():
    """Set Matplotlib's defaults for the course; call it once, at the top of a notebook."""
    plt.rcParams.update(
        {
            "figure.dpi": 115,
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.labelsize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#666666",
            "axes.prop_cycle": cycler(color=list(COLORS.values())),
            "axes.grid": False,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "xtick.color": "#444444",
            "ytick.color": "#444444",
            "image.cmap": "cividis",
        }
    )


def band(ax, x, values, color, label=None):
    """Draw the middle of several curves as a line and their range as a band around it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : array_like, shape (K,)
    values : array_like, shape (curves, K)
        For seeds: one row a seed. For percentiles: one row a percentile, e.g. 15, 50 and 85.
        The line is the median of the rows, the band reaches from the lowest to the highest.
    color : str
        A key of :data:`COLORS`, or any color of Matplotlib.
    label : str, optional
        Written at the right end of the line, in its color.
    """
    color = COLORS.get(color, color)
    values = np.asarray(values)
    middle = np.median(values, axis=0)
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=color, alpha=0.2, lw=0)
    ax.plot(x, middle, color=color)
    if label:
        name(ax, x[-1], middle[-1], label, color)


def name(ax, x, y, text, color, dx=5, dy=0):
    """Write ``text`` beside the point (x, y), in the color of what it names.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x, y : float
        The point, in data units.
    text, color : str
        ``color`` is a key of :data:`COLORS`, or any color of Matplotlib.
    dx, dy : float
        Distance from the point, in printer's points; a negative ``dx`` puts the text to the left.
    """
    ax.annotate(
        text,
        (x, y),
        xytext=(dx, dy),
        textcoords="offset points",
        color=COLORS.get(color, color),
        ha="left" if dx >= 0 else "right",
        va="center",
        annotation_clip=False,
    )
