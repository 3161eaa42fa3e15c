"""Points on a line, doubled: they nest, and what they say of their own error is true."""

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import IntegratedGradients, explain
from lightning_explain.attribution.refinement import added_nodes


def test_points_are_at_even_distances_and_never_at_an_end() -> None:
    taken = torch.zeros(0, dtype=torch.float64)
    for steps in (1, 2, 4, 8, 16, 32, 64):
        taken = torch.cat([taken, added_nodes(steps)])
        assert len(taken) == steps
        distances = taken.sort().values.diff()
        torch.testing.assert_close(distances, torch.full_like(distances, 1 / steps), rtol=0, atol=1e-14)
        ends = torch.stack([taken.min(), 1 - taken.max()]) * steps
        torch.testing.assert_close(ends.sort().values * 3, torch.tensor([1, 2]).double(), rtol=0, atol=1e-12)
        assert torch.minimum(added_nodes(steps)[0], 1 - added_nodes(steps)[0]) * steps == pytest.approx(1 / 3)


class Cancelling(nn.Module):
    """The gradients of two features jump, and their sum never does: the delta is nothing from the first point on."""

    def forward(self, x: Tensor) -> Tensor:
        jump = (x[:, :1] - 0.45).relu()
        return x[:, 1:2] + jump - (x[:, 2:] - 0.45).relu()


def test_a_delta_of_nothing_is_not_enough() -> None:
    x = torch.ones(1, 3, dtype=torch.float64)
    exact = torch.tensor([[0.55, 1.0, -0.55]], dtype=torch.float64)
    found = explain(Cancelling(), x, IntegratedGradients(1024, tolerance=1e-2), target=0)
    assert (found.values - exact).norm() <= 1e-2 * exact.norm()
    # Captum's way to choose would stop at once, with a jump that is off by a tenth.
    alone = explain(Cancelling(), x, IntegratedGradients(2), target=0)
    assert alone.delta.abs().max() < 1e-12
    assert (alone.values - exact).norm() > 5e-2 * exact.norm()


class Jumping(nn.Module):
    """The gradients jump at many places on the line."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight, self.bias, self.out = (
            torch.randn(*size, dtype=torch.float64, generator=generator) for size in ((20, 400), (400,), (400, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight + 3 * self.bias).relu() @ self.out


@pytest.mark.parametrize("tolerance", [0.03, 0.003])
def test_attributions_are_right_to_about_the_tolerance(tolerance: float) -> None:
    x, model = torch.randn(6, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), Jumping()
    found = explain(model, x, IntegratedGradients(2**12, tolerance=tolerance), target=0)
    exact = explain(model, x, IntegratedGradients(8192, "riemann_middle"), target=0).values
    assert (found.delta.abs() <= tolerance * found.span.abs()).all()
    errors = (found.values - exact).norm(dim=1) / exact.norm(dim=1)
    assert errors.mean() <= tolerance
    assert errors.max() <= 2 * tolerance


def test_a_sample_does_not_depend_on_the_others() -> None:
    x, model = torch.randn(8, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), Jumping()
    method = IntegratedGradients(256, tolerance=0.01)
    together = explain(model, x, method, target=0).values
    apart = torch.cat([explain(model, one, method, target=0).values for one in x.split(1)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)


@pytest.mark.parametrize("most", [2, 3, 8, 11])
def test_no_sample_gets_more_steps_than_it_may(most: int) -> None:
    x, model, seen = torch.randn(4, 20, dtype=torch.float64), nn.Sequential(Jumping()), []
    model.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0]) * torch.is_grad_enabled()))
    explain(model, x, IntegratedGradients(most, tolerance=1e-12), target=0)
    assert sum(seen) == 4 * 2 ** (most.bit_length() - 1)


def test_where_nothing_changes_two_points_do() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x.sum(dim=1, keepdim=True) + 1

    found = explain(Constant(), torch.ones(2, 3), IntegratedGradients(64, tolerance=1e-3), target=0)
    assert torch.equal(found.values, torch.zeros(2, 3))
