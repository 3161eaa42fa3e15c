"""Attacks give what Captum 0.9.0's give: 0.3.1, whose tests are run elsewhere, knew none."""

import importlib
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore")
CAPTUM, OURS = "captum.robust", "lightning_explain.captum.robust"


class TwoInputs(nn.Module):
    """Probabilities of classes, whose logarithm is Captum's default loss, of two inputs and a plain number."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(3, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor, y: Tensor | None = None, shift: float = 0.0) -> Tensor:
        hidden = self.first(x) if y is None else self.first(x) + self.second(y)
        return self.last(torch.tanh(hidden + shift)).softmax(dim=1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return TwoInputs()


@pytest.fixture(scope="module")
def x():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def y():
    return torch.randn(6, 3, generator=torch.Generator().manual_seed(2))


TARGET = torch.tensor([0, 1, 2, 0, 1, 2])


def both(ask):
    return ask(importlib.import_module(OURS)), ask(importlib.import_module(CAPTUM))


def same(ours, theirs):
    """Whether two answers are close, however they are nested."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            same(ours[name], value)
    elif isinstance(theirs, tuple):
        assert getattr(ours, "_fields", None) == getattr(theirs, "_fields", None)
        for got, expected in zip(ours, theirs, strict=True):
            same(got, expected)
    else:
        assert type(ours) is type(theirs)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def squared(output: Tensor, target: Tensor) -> Tensor:
    return ((output - nn.functional.one_hot(target, 3)) ** 2).sum(dim=1)


MADE = {
    "plain": {},
    "bounded": {"lower_bound": -0.5, "upper_bound": 0.5},
    "loss": {"loss_func": squared},
    "module_loss": {"loss_func": nn.CrossEntropyLoss(reduction="none")},
}
ATTACKED = {
    "plain": {},
    "towards": {"targeted": True},
    "masked": {"mask": torch.tensor([[1, 0, 1, 0]])},
    "shifted": {"additional_forward_args": (None, 0.3)},
}
STEPS = {
    "linf": {"radius": 0.2, "step_size": 0.07, "step_num": 5},
    "l2": {"radius": 0.3, "step_size": 0.1, "step_num": 4, "norm": "L2"},
}


@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
@pytest.mark.parametrize("attacked", ATTACKED.values(), ids=ATTACKED)
def test_one_step(model, x, made, attacked):
    same(*both(lambda robust: robust.FGSM(model, **made).perturb(x, 0.1, TARGET, **attacked)))


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("made", MADE.values(), ids=MADE)
@pytest.mark.parametrize("attacked", ATTACKED.values(), ids=ATTACKED)
def test_several_steps(model, x, made, attacked, steps):
    same(*both(lambda robust: robust.PGD(model, **made).perturb(x, target=TARGET, **steps, **attacked)))


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_several_inputs(model, x, y, steps):
    masks = (torch.tensor([[1, 0, 1, 0]]), torch.tensor([[0, 1, 1]]))
    same(*both(lambda robust: robust.FGSM(model).perturb((x, y), 0.1, 1, additional_forward_args=0.2, mask=masks)))
    same(*both(lambda robust: robust.PGD(model).perturb((x, y), target=TARGET, **steps, mask=masks)))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_random_starts_stay_in_the_ball(model, x, norm):
    def ask(robust):
        return robust.PGD(model).perturb(x, 0.2, 0.05, 3, TARGET, random_start=True, norm=norm)

    # Captum 0.9.0 cannot start in a ball of vectors: it draws a radius for pictures.
    found = both(ask) if norm == "Linf" else [ask(importlib.import_module(OURS))]
    for each in found:
        assert each.shape == x.shape
        assert ((each - x).norm(float("inf") if norm == "Linf" else 2, dim=1) <= 0.2 + 1e-5).all()
        assert not torch.equal(each, x)


class Scores(NamedTuple):
    right: Tensor
    margin: Tensor


def scores(output: Tensor, target: Tensor) -> Scores:
    top = output.topk(2, dim=1).values
    return Scores((output.argmax(dim=1) == target).float(), top[:, 0] - top[:, 1])


def right(output: Tensor, target: Tensor) -> Tensor:
    return (output.argmax(dim=1) == target).float()


def mean_right(output: Tensor, target: Tensor) -> float:
    return right(output, target).mean().item()


def noisy(x: Tensor) -> Tensor:
    return x + 0.1 * torch.linspace(-1, 1, x.numel()).view_as(x)


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("metric", [right, scores, mean_right])
def test_attacks_compared(model, x, metric, together):
    def ask(robust):
        comparator = robust.AttackComparator(model, metric, preproc_fn=torch.tanh)
        of_target = {"additional_attack_arg_names": ["target"], "apply_before_preproc": False}
        comparator.add_attack(robust.FGSM(model), attack_kwargs={"epsilon": 0.5}, **of_target)
        comparator.add_attack(noisy, "noise", num_attempts=2)
        first = comparator.evaluate(x, perturbations_per_eval=together, target=TARGET)
        second = comparator.evaluate(x.flip(0), perturbations_per_eval=together, target=TARGET)
        summary = comparator.summary()
        comparator.reset()
        return first, second, summary, comparator.summary()

    for ours, theirs in zip(*both(ask), strict=True):
        same(ours, theirs)


def lifted(x: Tensor, by: float, towards: float = 1.0) -> Tensor:
    return x + by * towards


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("mode", ["linear", "binary"])
def test_the_least_perturbation(model, x, mode, together, before):
    def ask(robust, at, towards):
        search = robust.MinParamPerturbation(
            model, lifted, "by", 0.0, 6.0, 0.25, mode, preproc_fn=torch.tanh, apply_before_preproc=before
        )
        target = model(torch.tanh(x[at : at + 1])).argmax().item()
        kwargs = {"perturbations_per_eval": together, "attack_kwargs": {"towards": towards}}
        return search.evaluate(x[at : at + 1], target=target, **kwargs)

    found = []
    for at in range(len(x)):
        (ours, parameter), (theirs, expected) = both(lambda robust, at=at: ask(robust, at, (-1.0) ** at))
        assert parameter == expected
        assert ours is None if theirs is None else torch.equal(ours, theirs)
        found.append(expected)
    assert len(set(found)) > 2, "one parameter for all could be an accident"
