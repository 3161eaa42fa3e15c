import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_explain.attribution.feature_space import FeatureSpace, channel_axis


@pytest.mark.parametrize(
    ("shape", "channel_dim", "axis"),
    [
        ((3, 8, 9), 1, 0),
        ((5, 4), -1, 1),
        ((5, 4, 6), 2, 1),
        ((5, 4), None, None),
        ((5,), 1, None),
        ((), 1, None),
    ],
)
def test_the_axis_of_channels(shape: tuple[int, ...], channel_dim: int | None, axis: int | None) -> None:
    assert channel_axis(shape, channel_dim) == axis


@given(
    shapes=st.lists(st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple), min_size=1, max_size=3),
    channel_dim=st.sampled_from([1, -1, None]),
)
def test_gathering_is_the_inverse_of_scattering(shapes: list[tuple[int, ...]], channel_dim: int | None) -> None:
    point = tuple(torch.randn(2, *shape) for shape in shapes)
    space = FeatureSpace.of(point, channel_dim)
    chosen = torch.randn(2, space.count)
    laid = space.scatter(chosen)
    channels = [
        1 if channel_axis(shape, channel_dim) is None else shape[channel_axis(shape, channel_dim)] for shape in shapes
    ]
    spread = tuple((part.expand_as(leaf) / n) for part, leaf, n in zip(laid, point, channels, strict=True))
    torch.testing.assert_close(space.gather(spread), chosen, rtol=0, atol=1e-6)
    torch.testing.assert_close(space.gather(laid), chosen)  # maps of one channel


def test_a_feature_is_a_pixel_with_all_its_channels() -> None:
    picture = torch.arange(2 * 3 * 2 * 2.0).view(2, 3, 2, 2)
    table = torch.arange(2 * 2.0).view(2, 2)
    space = FeatureSpace.of((picture, table))
    assert space.positions == ((2, 2), (2,))
    assert space.sizes == [4, 2]
    assert space.count == 6
    gathered = space.gather((picture, table))
    assert gathered[0].tolist() == [12, 15, 18, 21, 0, 1]
    mask, rest = space.scatter(torch.eye(6)[:2])
    assert mask.shape == (2, 1, 2, 2)
    assert rest.shape == (2, 2)
    assert mask[1, 0, 0, 1] == 1


def test_cells_are_a_coarse_grid() -> None:
    space = FeatureSpace(((3, 4, 6), (5,)))
    cells = space.cells(2)
    assert cells[:24].view(4, 6).tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[2, 2, 2, 3, 3, 3]] * 2
    assert cells[24:].tolist() == [4, 4, 5, 6, 7]  # one dimension: four cells for two times two
    assert FeatureSpace(((1, 2, 2),)).cells(6).tolist() == [0, 1, 2, 3]
