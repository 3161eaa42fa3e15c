from itertools import pairwise

import numpy as np
import pytest

from lightning_explain.render import heat
from lightning_explain.render.bar import color_bar


def test_the_bar_runs_from_minus_to_plus_scale():
    bar = color_bar(0.25, 200)
    strip = bar[4, 1:-1]
    assert np.array_equal(strip, heat(np.linspace(-0.25, 0.25, 198), 0.25))
    assert bar.shape[1] == 200


@pytest.mark.parametrize("scale", [1.0, 0.022, 1.2345e-7, 12345678.0])
def test_the_numbers_never_touch(scale):
    inked = (color_bar(scale, 10)[10:] < 255).any(axis=(0, 2))
    changes = np.flatnonzero(np.diff(inked.astype(int)))
    gaps = [end - start for start, end in pairwise(changes) if not inked[start + 1]]
    assert sum(gap >= 6 for gap in gaps) == 2


def test_scales_have_bars_of_their_own():
    assert not np.array_equal(color_bar(0.5, 150), color_bar(0.7, 150))
