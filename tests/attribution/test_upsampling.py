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
