"""A distribution of baselines at places."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from worlds import baseline, net, samples

from lightning_explain import Input, Layer, Neuron
from lightning_explain.attribution.background import Background, in_turn
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import DeepLiftShap, GradientShap

KNOWN = torch.randn(3, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ROWS, NUMBERS = torch.tensor([0, 2, 1, 1]), torch.tensor([2, 0, 1, 2])


class Beside(nn.Module):
    """The layer's output depends on an input that is not explained."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(x * scale)))


def test_at_the_input_and_at_a_layer() -> None:
    model = net()
    with borrowed(model):
        posed = pose(model, samples(), None, baseline=baseline())
        for place, expected in (
            (Input(), KNOWN),
            (Neuron("conv2", (0, 1, 1)), KNOWN),
            (Layer("conv1"), model.conv1(KNOWN)),
        ):
            known = Background.of(replace(posed, place=place), KNOWN)
            assert known.count == 3
            torch.testing.assert_close(known.at(ROWS, NUMBERS)[0], expected[NUMBERS].detach())


def test_the_inputs_beside_are_those_of_the_sample() -> None:
    torch.manual_seed(0)
    model, x, scale = Beside().double(), torch.randn(3, 4).double(), torch.tensor([[1.0], [2.0], [3.0]]).double()
    known = torch.randn(4, 4).double()
    with borrowed(model):
        posed = replace(pose(model, (x, scale), None), about=(0,), place=Layer("inner"))
        (found,) = Background.of(posed, known).at(ROWS, NUMBERS)
        expected = model.inner(known[NUMBERS] * scale[ROWS])
        torch.testing.assert_close(found, expected.detach())
        both = Background.of(posed, (known, torch.ones(4, 1).double()))
        torch.testing.assert_close(both.at(ROWS, NUMBERS)[0], model.inner(known[NUMBERS]).detach())


@pytest.mark.parametrize("place", [Input(), Layer("inner")])
@pytest.mark.parametrize("kind", [GradientShap, DeepLiftShap])
def test_methods_explain_each_sample_as_by_itself(kind: type, place: Input) -> None:
    torch.manual_seed(0)
    model, x, scale = Beside().double(), torch.randn(3, 4).double(), torch.tensor([[1.0], [2.0], [3.0]]).double()
    known = torch.randn(4, 4).double()
    method = kind(baselines=known)
    with borrowed(model):

        def explained(rows: slice) -> Tensor:
            posed = pose(model, (x[rows], scale[rows]), 1)
            return method(replace(posed, about=(0,), place=place))[0]

        together = explained(slice(None))
        alone = torch.cat([explained(slice(i, i + 1)) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)
    assert together.abs().max() > 1e-2


def test_baselines_that_do_not_fit_are_refused() -> None:
    model = net()
    with borrowed(model):
        posed = pose(model, samples(), None)
        with pytest.raises(ValueError, match=r"The baselines of input have shape \(3, 2, 5\); expected \(K, 2, 5, 4\)"):
            Background.of(posed, KNOWN[..., 0])


def test_every_baseline_gets_its_turn() -> None:
    drawn = in_turn(3, 8, torch.Generator().manual_seed(0))
    assert sorted(drawn.bincount().tolist()) == [2, 3, 3]
    assert drawn[:3].unique().tolist() == [0, 1, 2]
