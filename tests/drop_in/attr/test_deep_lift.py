"""DeepLift and DeepLiftShap beside Captum, and where Captum errs."""

import pytest
import torch
import torch.nn.functional as F
from captum import attr as captum
from drop_in.attr.primary import TARGETS, known, net, samples
from torch import Tensor, nn

from lightning_explain.captum.attr import DeepLift, DeepLiftShap
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

pytestmark = pytest.mark.filterwarnings("ignore:(Setting|Input Tensor|.*backward hook).*:UserWarning")

BASELINE = known(1)
CUSTOM = {
    "multipliers": lambda m: tuple(leaf * 2 for leaf in m),
    "inputs": lambda m, x: tuple(a * b for a, b in zip(m, x, strict=True)),
    "all": lambda m, x, x0: tuple(a * (b**2 - c) for a, b, c in zip(m, x, x0, strict=True)),
}


def both(name: str, multiply: bool = True, **given) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    found = []
    for library in (None, captum):
        method = {"DeepLift": DeepLift, "DeepLiftShap": DeepLiftShap}[name]
        method = method if library is None else getattr(library, name)
        one = method(net(), multiply).attribute(samples().requires_grad_(), target=TARGETS, **given)
        found.append(tuple(part.detach() for part in (one if isinstance(one, tuple) else (one,))))
    return found[0], found[1]


@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("baselines", [None, 0.3, BASELINE, known(3)])
def test_deep_lift(multiply: bool, baselines: Tensor | float | None) -> None:
    ours, theirs = both("DeepLift", multiply, baselines=baselines, return_convergence_delta=True)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert (ours[1].abs().max() < 1e-12) == multiply


@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("baselines", [known(), (known(),), lambda x: 0.5 * x.flip(0), lambda: known()])
def test_deep_lift_shap(multiply: bool, baselines: object) -> None:
    ours, theirs = both("DeepLiftShap", multiply, baselines=baselines, return_convergence_delta=True)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert len(ours[1]) in {12, 9}


@pytest.mark.parametrize("custom", CUSTOM)
def test_a_function_for_attributions(custom: str) -> None:
    given = {"custom_attribution_func": CUSTOM[custom], "return_convergence_delta": True}
    for name, baselines in (("DeepLift", BASELINE), ("DeepLiftShap", known())):
        ours, theirs = both(name, baselines=baselines, **given)
        for found, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_several_inputs_and_arguments() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Tensor, y: Tensor, weight: Tensor, shift: float) -> Tensor:
            return (self.relu(x - y) * weight).sum(dim=1) + shift

    x, y = torch.randn(2, 3, 4, dtype=torch.float64)
    weight = torch.tensor([[1.0], [2.0], [-3.0]], dtype=torch.float64)
    given = {"additional_forward_args": (weight, 1.0), "return_convergence_delta": True}
    known_pairs = torch.randn(2, 5, 4, dtype=torch.float64)
    for ours, theirs, baselines in (
        (DeepLift, captum.DeepLift, (0.0, y[:1])),
        (DeepLiftShap, captum.DeepLiftShap, tuple(known_pairs)),
    ):
        (a, b), delta = ours(Product()).attribute((x, y), baselines, **given)
        (c, d), their_delta = theirs(Product()).attribute(
            (x.clone().requires_grad_(), y.clone().requires_grad_()), baselines, **given
        )
        for found, expected in ((a, c), (b, d), (delta, their_delta)):
            torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-12)
    assert delta.shape == (15,)


class Everything(nn.Module):
    """A module that is used twice, functional activations, softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.relu, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.again(self.relu(self.first(x))))
        return self.last(F.gelu(hidden) + hidden).softmax(dim=1)


def test_what_captum_cannot_do_adds_up() -> None:
    torch.manual_seed(0)
    model, x = Everything().double(), torch.randn(3, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="being used more than once"):
        captum.DeepLift(model).attribute(x, target=1)
    found, delta = DeepLift(model).attribute(x, target=1, return_convergence_delta=True)
    assert found.abs().max() > 1e-3
    assert delta.abs().max() < 1e-12


def test_a_functional_activation_has_its_rule() -> None:
    """Captum takes its gradient: the delta is 0.1 where the module's is 0."""

    class Functional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x).sum(dim=1)

    x = torch.tensor([[1.0, -2.0, 0.5]])
    given = {"baselines": torch.tensor([[-1.0, 1.0, 0.25]]), "return_convergence_delta": True}
    found, delta = DeepLift(Functional()).attribute(x, **given)
    torch.testing.assert_close(found, torch.tensor([[1.0, -1.0, 0.25]]))
    assert delta.abs().max() < 1e-6
    _, theirs = captum.DeepLift(Functional()).attribute(x, **given)
    assert theirs.abs().max() > 0.9


def test_softmax_does_not_look_at_other_samples() -> None:
    """Captum normalises over the batch."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1)).double(), torch.randn(3, 4, dtype=torch.float64)
    together = DeepLift(model).attribute(x, target=1)
    alone = torch.cat([DeepLift(model).attribute(x[i : i + 1], target=1) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-14)
    theirs = captum.DeepLift(model).attribute(x, target=1).detach()
    by_one = torch.cat([captum.DeepLift(model).attribute(x[i : i + 1], target=1).detach() for i in range(3)])
    assert (theirs - by_one).abs().max() > 1e-3


def test_eps_decides_where_the_gradient_takes_over() -> None:
    x, base = torch.tensor([[0.2]], dtype=torch.float64), torch.tensor([[-0.1]], dtype=torch.float64)
    model = nn.Sequential(nn.Tanh(), nn.Flatten())
    quotient = DeepLift(model).attribute(x, base)
    slope = DeepLift(model, eps=1.0).attribute(x, base)
    torch.testing.assert_close(quotient, torch.tanh(x) - torch.tanh(base))
    torch.testing.assert_close(slope, 0.3 * (1 - torch.tanh((x + base) / 2) ** 2))  # half-way
    assert DeepLiftShap(model).eps == 1e-10


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"baselines": known(1)}, ArgumentError, "Expected at least 2 baselines for each input, got 1"),
        ({"baselines": 0}, ArgumentTypeError, "A distribution of baselines is a tensor .* got int"),
        ({"baselines": known()[:, :1]}, ArgumentError, r"shape \(4, 1, 6, 6\); expected \(K, 2, 6, 6\)"),
        ({"baselines": (known(), known())}, ArgumentError, r"Expected baselines for each of 1 input\(s\), got 2"),
        ({"baselines": known(), "custom_attribution_func": 3}, ArgumentTypeError, "is a function, got int"),
        (
            {"baselines": known(), "custom_attribution_func": lambda a, b, c, d: a},
            ArgumentError,
            "this one takes 4 arguments",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as raised:
        DeepLiftShap(net()).attribute(samples(), target=1, **given)
    assert isinstance(raised.value, AssertionError)
