"""Gaussian noise: its units, and what it is added to."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import GradientShap, Saliency, SmoothGrad
from lightning_explain.attribution.noise import gaussian, noisy, require_noise


def deviations(x: Tensor, **kwargs) -> Tensor:
    drawn = torch.stack([gaussian(x, 0.5, 3, **kwargs)(copy)[0] for copy in range(8)])
    return drawn.movedim(1, 0).flatten(1).std(dim=1)


def test_absolute_noise_is_the_same_for_all_samples() -> None:
    x = torch.randn(2, 3, 40, 40, dtype=torch.float64) * torch.tensor([1.0, 20.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(deviations(x, unit="absolute"), torch.full((2,), 0.5).double(), rtol=0.02, atol=0)
    spread = x.flatten(1).amax(dim=1) - x.flatten(1).amin(dim=1)
    torch.testing.assert_close(deviations(x), 0.5 * spread, rtol=0.02, atol=0)
    first = gaussian(x, 0.5, 3, "absolute")(1)[0]
    assert torch.equal(first[0], first[1])


def test_each_input_may_have_its_own() -> None:
    x, y = torch.zeros(2, 5000), torch.zeros(2, 5000)
    a, b = gaussian((x, y), (0.1, 2.0), 0, "absolute")(0)
    assert a.std().item() == pytest.approx(0.1, rel=0.05)
    assert b.std().item() == pytest.approx(2.0, rel=0.05)
    with pytest.raises(ValueError, match=r"a standard deviation for each of 2 input\(s\), got 3"):
        gaussian((x, y), (0.1, 0.2, 0.3), 0)


def test_inputs_that_attributions_are_not_about_get_none() -> None:
    x, y, ids = torch.randn(3, 4), torch.randn(3, 2), torch.arange(3)
    noise = gaussian((x, y, ids), 1.0, 0, "absolute", about=(0,))
    rows, copies = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 0, 1])
    a, b, c = noisy((x, y, ids), noise, rows, copies)
    assert (a != x[rows]).all()
    assert torch.equal(b, y[rows])
    assert torch.equal(c, ids[rows])


def test_copies_come_in_any_order() -> None:
    x, noise = torch.randn(3, 4), gaussian(torch.randn(3, 4), 1.0, 0)
    rows, copies = torch.tensor([0, 0, 1, 1]), torch.tensor([2, 1, 1, 2])
    found = noisy(x, noise, rows, copies)
    backwards = noisy(x, noise, rows.flip(0), copies.flip(0))
    assert torch.equal(found, backwards.flip(0))


@pytest.mark.parametrize("method", [SmoothGrad(Saliency(), 3, 0.5, unit="absolute"), GradientShap(3, 0.5)])
def test_methods_leave_the_arguments_beside_alone(method: SmoothGrad) -> None:
    seen: list[Tensor] = []

    class Scaled(nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            seen.append(weight.detach())
            return (x**2 * weight).sum(dim=1)

    inputs = torch.randn(2, 4), torch.tensor([[1.0], [3.0]])
    model = Scaled()
    with borrowed(model):
        posed = pose(model, inputs, None, baseline=tuple(map(torch.zeros_like, inputs)))
        about = replace(posed, about=(0,))
        (found,) = method(about)
    assert found.abs().max() > 0
    assert {float(value) for weight in seen for value in weight.flatten()} == {1.0, 3.0}
    seen.clear()
    with borrowed(model):
        method(posed)
    assert len({float(value) for weight in seen for value in weight.flatten()}) > 2


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stdev must not be negative, got -0\.1"):
        require_noise((0.1, -0.1), "range")
    with pytest.raises(ValueError, match=r"No unit of noise 'rang'\. Did you mean 'range'\?"):
        SmoothGrad(unit="rang")
    with pytest.raises(ValueError, match="No unit of noise 'sigma'"):
        GradientShap(unit="sigma")
