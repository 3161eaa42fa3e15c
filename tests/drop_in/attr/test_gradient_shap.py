"""GradientShap beside Captum: the forms exactly, the numbers in expectation."""

import pytest
import torch
from captum import attr as captum
from drop_in.attr.primary import TARGETS, known, net, samples
from torch import Tensor, nn

from lightning_explain.captum.attr import GradientShap
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError


@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("stdevs", [0.0, 0.5])
def test_captum_agrees_in_expectation(multiply: bool, stdevs: float) -> None:
    given = {"baselines": known(), "n_samples": 600, "stdevs": stdevs, "target": TARGETS}
    found, delta = GradientShap(net(), multiply).attribute(samples(), return_convergence_delta=True, **given)
    expected, theirs = captum.GradientShap(net(), multiply).attribute(samples(), return_convergence_delta=True, **given)
    assert (found - expected.detach()).norm() < 0.15 * expected.norm()
    assert delta.shape == theirs.shape == (1800,)
    ours, other = (it.detach().reshape(3, 600) for it in (delta, theirs))
    torch.testing.assert_close(ours.std(dim=1), other.std(dim=1), rtol=0.2, atol=0.01)
    torch.testing.assert_close(ours.mean(dim=1), other.mean(dim=1), rtol=0.2, atol=0.3 * other.std().item())


def test_the_deltas_of_a_sample_stand_together() -> None:
    """For a model of one number: what each draw misses is known from its two ends."""
    x, base = torch.tensor([[1.0], [10.0], [-3.0]]), torch.tensor([[0.5]])
    model = nn.Module()
    model.forward = lambda x: (3 * x + 0).sum(dim=1)
    found, delta = GradientShap(model).attribute(x, base, n_samples=4, return_convergence_delta=True)
    torch.testing.assert_close(found, 3 * (x - base))
    torch.testing.assert_close(delta, torch.zeros(12), rtol=0, atol=1e-5)
    plain, delta = GradientShap(model, False).attribute(x, base, n_samples=4, return_convergence_delta=True)
    assert plain.eq(3).all()
    torch.testing.assert_close(delta.reshape(3, 4), (3 - 3 * (x - base)).expand(3, 4))


def test_each_draw_has_a_pair_of_baselines_that_belong_together() -> None:
    """Captum draws those of each input by themselves: pairs that the data do not have."""
    x, y = torch.randn(2, 3, 2)
    pairs = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), torch.tensor([[0.0], [1.0], [2.0]]).expand(3, 2)
    seen: list[Tensor] = []

    def scored(x: Tensor, y: Tensor) -> Tensor:
        seen.append(torch.stack([x[:, 0].detach(), y[:, 0].detach()], dim=1))
        return (x * y).sum(dim=1)

    GradientShap(scored).attribute((x, y), pairs, n_samples=6, return_convergence_delta=True)
    ends = seen[-1]  # the scores at the baselines
    assert torch.equal(ends[:, 0], ends[:, 1])
    assert len(ends[:, 0].unique()) == 3


def test_noise_is_in_the_units_of_each_input() -> None:
    x, y = torch.zeros(1, 4000), torch.ones(1, 4000)
    seen: list[tuple[Tensor, Tensor]] = []

    def scored(x: Tensor, y: Tensor) -> Tensor:
        seen.append((x.detach(), y.detach()))
        return (x + y).sum(dim=1)

    baselines = torch.zeros(1, 4000), torch.ones(1, 4000)
    GradientShap(scored).attribute((x, y), baselines, 2, (0.5, 2.0), return_convergence_delta=True)
    a, b = seen[-2]  # the scores at the noisy inputs
    assert a.std().item() == pytest.approx(0.5, rel=0.05)
    assert b.std().item() == pytest.approx(2.0, rel=0.05)


def test_the_seed_is_that_of_torch() -> None:
    given, method = {"baselines": known(), "stdevs": 0.2, "target": 1}, GradientShap(net())
    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append(method.attribute(samples(), **given))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


@pytest.mark.parametrize("baselines", [lambda: known(), lambda x: known(), known()])
def test_forms_of_a_distribution(baselines: object) -> None:
    expected = GradientShap(net()).attribute(samples(), (known(),), target=1)
    assert torch.equal(GradientShap(net()).attribute(samples(), baselines, target=1), expected)


def test_a_number_may_stand_beside_a_distribution() -> None:
    def total(x: Tensor, y: Tensor) -> Tensor:
        return (x * 2).sum(dim=1) + y.sum(dim=1)

    x, y, base = torch.randn(3, 2), torch.randn(3, 2), torch.randn(5, 2)
    a, b = GradientShap(total).attribute((x, y), (base, 0.5), n_samples=5)
    torch.testing.assert_close(a, 2 * (x - base.mean(dim=0)))
    torch.testing.assert_close(b, y - 0.5)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"stdevs": "1"}, ArgumentTypeError, "stdevs is a number, or a tuple of one for each input; got str"),
        ({"stdevs": (0.1, 0.1)}, ArgumentError, r"Expected one of stdevs for each of 1 input\(s\), got 2"),
        ({"stdevs": -1.0}, ArgumentError, "stdevs must not be negative, got -1.0"),
        ({"baselines": 0.5}, ArgumentTypeError, "A distribution of baselines is a tensor"),
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        GradientShap(net()).attribute(samples(), **({"baselines": known(), "target": 1} | given))
