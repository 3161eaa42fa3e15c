"""Inputs that hold integers: numbers on a line, and otherwise nothing that a gradient could be taken of."""

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from lightning_explain.captum import attr
from lightning_explain.captum.errors import ArgumentTypeError

pytestmark = pytest.mark.filterwarnings("ignore:[^a-z]*Input Tensor", "ignore:Setting (forward|backward)")

COUNTS = torch.tensor([[1, 2, 3], [4, 0, 2]])
IDS = torch.tensor([[1, 2, 3], [4, 1, 2]])
NO_GRADIENT = r"Input 0 holds torch.int64 values, for which there is no gradient.*inputs\.float\(\).*LayerIntegratedG"


class Numbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        self.eval()

    def forward(self, x: Tensor, y: Tensor | float = 0.0) -> Tensor:
        return self.head(torch.tanh(self.first(x.float() / 4 + y)))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(12, 2)
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embedding(ids).flatten(1))


def near(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "baselines", [None, 1, 0.5, torch.tensor([[1, 1, 0]])], ids=["none", "integer", "fraction", "tensor"]
)
def test_integrated_gradients_take_them_for_numbers(baselines: object) -> None:
    found, expected = (
        package.IntegratedGradients(Numbers()).attribute(
            COUNTS, baselines, target=1, n_steps=20, return_convergence_delta=True
        )
        for package in (attr, captum.attr)
    )
    near(found[0], expected[0])
    if isinstance(
        baselines, float
    ):  # Captum's delta is that of the baseline 0: it is cut off in the type of the inputs
        near(found[1], torch.zeros(2))
    else:
        near(found[1], expected[1])
    assert found[0].dtype == torch.float32


def test_a_tuple_of_both_kinds() -> None:
    inputs = (COUNTS, torch.ones(2, 3))
    found, expected = (
        package.IntegratedGradients(Numbers()).attribute(inputs, target=0) for package in (attr, captum.attr)
    )
    near(found, expected)


def test_neurons_and_paths_of_inputs() -> None:
    for name in ("NeuronIntegratedGradients", "LayerConductance", "InternalInfluence"):
        model, where = Numbers(), (2,) if name.startswith("Neuron") else ()
        given = {"n_steps": 200} | ({} if where else {"target": 1})
        found, expected = (
            getattr(package, name)(model, model.first).attribute(COUNTS, *where, **given)
            for package in (attr, captum.attr)
        )
        torch.testing.assert_close(found, expected.detach(), rtol=0, atol=0.01 * float(found.abs().max()))


def test_expected_gradients_are_those_of_the_same_numbers() -> None:
    known = torch.tensor([[0, 0, 1], [2, 2, 2]])
    method = attr.GradientShap(Numbers())
    found = method.attribute(COUNTS, known, target=1, return_convergence_delta=True)
    near(found, method.attribute(COUNTS.float(), known.float(), target=1, return_convergence_delta=True))


def test_noise_around_it_is_added_to_numbers() -> None:
    tunnel = attr.NoiseTunnel(attr.IntegratedGradients(Numbers()))
    near(
        tunnel.attribute(COUNTS, target=1, nt_samples=3, stdevs=0.5),
        tunnel.attribute(COUNTS.float(), target=1, nt_samples=3, stdevs=0.5),
    )


@pytest.mark.parametrize("name", ["Saliency", "InputXGradient", "DeepLift", "GuidedBackprop", "Deconvolution", "LRP"])
def test_other_gradients_do_not_exist(name: str) -> None:
    with pytest.raises(ArgumentTypeError, match=NO_GRADIENT):
        getattr(attr, name)(Words()).attribute(IDS, target=1)
    with pytest.raises((RuntimeError, TypeError)):
        getattr(captum.attr, name)(Words()).attribute(IDS, target=1)


def test_ids_are_no_numbers() -> None:
    for name, given in (("IntegratedGradients", ()), ("GradientShap", (IDS[:1],))):
        with pytest.raises(ArgumentTypeError, match=r"and it failed: .*LayerIntegratedGradients\(model, <embedding>\)"):
            getattr(attr, name)(Words()).attribute(IDS, *given, target=1)


def test_what_the_message_says_works() -> None:
    model = Words()
    assert attr.LayerIntegratedGradients(model, model.embedding).attribute(IDS, target=1).shape == (2, 3, 4)
    assert attr.LayerGradientShap(model, model.embedding).attribute(IDS, IDS[:1], target=1).shape == (2, 3, 4)
    assert attr.FeatureAblation(model).attribute(IDS, target=1).shape == (2, 3)
    assert attr.Saliency(Numbers()).attribute(COUNTS.float(), target=1).shape == (2, 3)
