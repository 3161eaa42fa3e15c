"""Maps, interpolated."""

import pytest
import torch

from lightning_explain.attribution.upsampling import upsampled


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_plane_stays_a_plane(dims: int) -> None:
    """Between the centres of the outer cells; cell i of k has its centre at (i + 1/2) / k."""
    slope = torch.arange(1.0, dims + 1, dtype=torch.float64)

    def plane(side: int) -> torch.Tensor:
        centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        grid = torch.stack(torch.meshgrid(*[centres] * dims, indexing="ij"), dim=-1)
        return (grid @ slope).expand(2, 3, *[side] * dims)

    found = upsampled(plane(4), (8,) * dims)
    inner = (slice(None), slice(None), *[slice(1, -1)] * dims)
    assert found.shape == (2, 3, *[8] * dims)
    torch.testing.assert_close(found[inner], plane(8)[inner])


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "area", "linear"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_modes_for_any_number_of_dimensions(mode: str, dims: int) -> None:
    maps = torch.arange(float(2**dims)).reshape(1, 1, *[2] * dims)
    found = upsampled(maps, (6,) * dims, mode)
    assert found.shape == (1, 1, *[6] * dims)
    torch.testing.assert_close(found.mean(), maps.mean())
    corners = found[(slice(None), slice(None), *[slice(None, None, 5)] * dims)]
    torch.testing.assert_close(corners, maps)


@pytest.mark.parametrize(
    ("mode", "shape", "message"),
    [
        ("bilinear", (1, 1, 4), r"The interpolation 'bilinear' is not there for maps of shape \(1, 1, 4\)"),
        ("trilinear", (1, 1, 4, 4), "The interpolation 'trilinear' is not there"),
        ("linear", (1, 4), "The interpolation 'linear' is not there"),
        ("bilinaer", (1, 1, 4, 4), r"No interpolation 'bilinaer'\. Did you mean 'bilinear'\?"),
    ],
)
def test_what_cannot_be_is_refused(mode: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        upsampled(torch.zeros(shape), (8,) * (len(shape) - 2), mode)
