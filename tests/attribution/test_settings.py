import numpy as np
import pytest
import torch

from lightning_explain.attribution.regions import Grid
from lightning_explain.attribution.settings import (
    numbers,
    require_callable,
    require_integer,
    require_kind,
    require_number,
)


@pytest.mark.parametrize("given", [4.5, "4", None, True, [4], torch.ones(2)])
def test_what_is_no_integer(given):
    shown = repr(given) if not isinstance(given, (list, torch.Tensor)) else type(given).__name__
    with pytest.raises(TypeError, match=f"^steps must be an integer, got {shown}\\.$"):
        require_integer("steps", given, 1)


def test_integers_of_other_libraries_are_fine():
    require_integer("steps", np.int64(4), 1)
    require_integer("along", -1)
    with pytest.raises(ValueError, match=r"^steps must be at least 1, got 0\.$"):
        require_integer("steps", np.int64(0), 1)


def test_what_is_no_number():
    for fine in (1, 0.5, np.float32(2)):
        require_number("radius", fine)
    for wrong in ("0.1", None, False):
        with pytest.raises(TypeError, match=f"^radius must be a number, got {wrong!r}"):
            require_number("radius", wrong)


def test_several_numbers_become_a_tuple():
    assert numbers("shares", [0.1, 1]) == (0.1, 1)
    assert numbers("shares", (share for share in (0.1, 0.2))) == (0.1, 0.2)
    for wrong in (0.1, "0.1", None):
        with pytest.raises(TypeError, match=f"^shares must be several numbers, such as .*, got {wrong!r}"):
            numbers("shares", wrong)
    with pytest.raises(TypeError, match=r"^Each of shares must be a number, got 'a'"):
        numbers("shares", [0.1, "a"])


def test_kinds():
    require_kind("grid", Grid(2), Grid, "Grid(4)")
    with pytest.raises(TypeError, match=r"^grid must be Grid, such as Grid\(4\), got 4\.$"):
        require_kind("grid", 4, Grid, "Grid(4)")
    require_callable("partition", Grid(2), "Grid(4)")
    for wrong, shown in (("grid", "'grid'"), (16, "16"), (Grid, "the class Grid")):
        with pytest.raises(TypeError, match=rf"^partition must be one such as Grid\(4\), got {shown}\."):
            require_callable("partition", wrong, "Grid(4)")
