from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba

from bncourse.plotting import COLORS, band, name, use_style


@pytest.fixture
def ax():
    with plt.rc_context():
        use_style()
        figure, ax = plt.subplots()
        yield ax
        plt.close(figure)


def lightness(color):
    """CIE L*, from 0 to 100: what is left of a color in a grey print."""
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 116 * float(linear @ [0.2126, 0.7152, 0.0722]) ** (1 / 3) - 16


def test_colors_differ_in_a_grey_print():
    for (a, color), (b, other) in combinations(COLORS.items(), 2):
        assert abs(lightness(color) - lightness(other)) > 3, (a, b)


def test_the_two_nets_differ_clearly_in_a_grey_print():
    assert abs(lightness(COLORS["batch norm"]) - lightness(COLORS["plain"])) > 8


@pytest.mark.parametrize("color", [c for c in COLORS if c != "light"])
def test_colors_are_seen_on_white(color):
    luminance = ((lightness(COLORS[color]) + 16) / 116) ** 3
    assert 1.05 / (luminance + 0.05) > 3


def test_the_style_applies_to_figures(ax):
    assert not ax.spines["top"].get_visible() and ax.spines["left"].get_visible()
    lines = [ax.plot([0, 1])[0] for _ in COLORS]
    assert [line.get_color() for line in lines] == list(COLORS.values())
    assert ax.figure.get_constrained_layout()


def test_band_draws_the_median_and_the_range(ax):
    values = np.array([[0.0, 1, 2], [4, 5, 6], [1, 2, 9]])
    band(ax, [10, 20, 30], values, "batch norm", label="with")
    (line,), (area,) = ax.lines, ax.collections
    assert line.get_xdata().tolist() == [10, 20, 30] and line.get_ydata().tolist() == [1, 2, 6]
    assert line.get_color() == COLORS["batch norm"]
    assert area.get_facecolor()[0].tolist() == list(to_rgba(COLORS["batch norm"], 0.2))
    corners = area.get_paths()[0].vertices
    for x, low, high in zip([10, 20, 30], [0, 1, 2], [4, 5, 9], strict=True):
        assert {low, high} <= set(corners[corners[:, 0] == x, 1].tolist())
    (text,) = ax.texts
    assert text.get_text() == "with" and text.xy == (30, 6)


def test_band_without_a_label_writes_nothing_and_changes_nothing(ax):
    values = np.ones((2, 3))
    band(ax, range(3), values, "tab:red")
    assert not ax.texts and ax.lines[0].get_color() == "tab:red" and (values == 1).all()


@pytest.mark.parametrize("dx, side", [(5, "left"), (0, "left"), (-5, "right")])
def test_name_writes_beside_the_point_in_its_color(ax, dx, side):
    name(ax, 1, 2, "here", "plain", dx, 3)
    (text,) = ax.texts
    assert text.get_text() == "here" and text.xy == (1, 2) and text.get_position() == (dx, 3)
    assert text.get_color() == COLORS["plain"] and text.get_ha() == side
