from math import comb

import pytest
import torch
from captum.attr import KernelShap as Captum
from games import EVERY_WORLD, game, known_ids, laid_out, odd_ids
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, baseline, net, samples

from lightning_explain import KernelShap, explain
from lightning_explain.attribution.methods.kernel_shap import draw, weighted_coalitions


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_all_coalitions_give_the_exact_values(where: str, per_sample: bool) -> None:
    asked = {"target": TARGETS, "baseline": baseline(), "feature_mask": odd_ids(where, per_sample=per_sample)}
    exact = explain(net(), samples(), "shapley_values", WORLDS[where].place, **asked)
    found = explain(net(), samples(), KernelShap(16), WORLDS[where].place, **asked)
    torch.testing.assert_close(found.values, exact.values, rtol=0, atol=1e-12)
    assert found.delta.abs().max() < 1e-14


def fitted(value: object, known: list[int], chosen: list[list[bool]], weights: list[float]) -> dict[int, float]:
    """The constrained least squares by the equations of a Lagrange multiplier, one coalition after the other."""
    count = len(known)
    empty, whole = value([]), value(known)
    a, b = torch.zeros(count + 1, count + 1).double(), torch.zeros(count + 1).double()
    for kept, weight in zip(chosen, weights, strict=True):
        x = torch.tensor(kept).double()
        a[:count, :count] += weight * torch.outer(x, x)
        b[:count] += weight * x * (value([f for f, there in zip(known, kept, strict=True) if there]) - empty)
    a[:count, count] = a[count, :count] = 1
    b[count] = whole - empty
    return dict(zip(known, torch.linalg.solve(a, b)[:count].tolist(), strict=True))


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_draws_are_fitted_with_the_sum_held(where: str, per_sample: bool) -> None:
    ids = odd_ids(where, count=6, per_sample=per_sample)
    found = explain(
        net(), samples(), KernelShap(30), WORLDS[where].place, TARGETS, baseline=baseline(), feature_mask=ids
    )
    assert found.delta.abs().max() < 1e-12
    for i, part in enumerate(found.values):
        value, known = game(where, i, ids), known_ids(ids, i)
        coalitions, weights = weighted_coalitions(len(known), 28, 0)
        expected = fitted(value, known, coalitions.tolist(), weights.tolist())
        torch.testing.assert_close(part, laid_out(expected, ids, i, part), rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:You are providing multiple inputs for Lime")
def test_it_tends_to_the_exact_values() -> None:
    model, x, mask = net(), samples(), torch.arange(40).view(1, 2, 5, 4) % 10
    asked = {"target": TARGETS, "baseline": baseline(), "feature_mask": mask}
    exact = explain(model, x, "shapley_values", **asked).values
    errors = [(explain(model, x, KernelShap(n), **asked).values - exact).abs().max() for n in (40, 1000, 1024)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 1e-12
    torch.manual_seed(0)
    theirs = Captum(model).attribute(x, baseline(), TARGETS, feature_mask=mask, n_samples=1000)
    assert errors[1] < (theirs - exact).abs().max()


@pytest.mark.filterwarnings("ignore:You are providing multiple inputs for Lime")
@pytest.mark.parametrize(("count", "n_samples"), [(5, 20), (40, 30), (6, 1000)])
def test_a_linear_score_is_recovered(count: int, n_samples: int) -> None:
    weight = torch.randn(count, dtype=torch.float64)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ weight

    x = torch.randn(3, count, dtype=torch.float64)
    found = explain(Linear(), x, KernelShap(n_samples), target="output")
    assert found.delta.abs().max() < 1e-12
    if n_samples > count:
        torch.testing.assert_close(found.values, x * weight, rtol=0, atol=1e-10)
        theirs = Captum(Linear()).attribute(x, n_samples=500)
        torch.testing.assert_close(found.values, theirs, rtol=0, atol=1e-3, check_dtype=False)
    else:  # fewer coalitions than features: those that were not told apart get the same
        assert (found.values - x * weight).abs().max() > 1e-3


def kernel(count: int) -> list[float]:
    """The weight of all coalitions of each size, as a share of all weights."""
    mass = [comb(count, k) * (count - 1) / (comb(count, k) * k * (count - k)) for k in range(1, count)]
    return [part / sum(mass) for part in mass]


@pytest.mark.parametrize(("count", "least"), [(2, 1), (3, 1), (7, 1), (7, 3), (8, 4)])
def test_coalitions_are_drawn_as_the_kernel_says(count: int, least: int) -> None:
    drawn = draw(count, least, 20_000, 3)
    size = drawn.sum(dim=1)
    assert torch.equal(drawn[::2], ~drawn[1::2])
    allowed = kernel(count)[least - 1 : count - least]
    assert sum(int((size == k).sum()) for k in range(least, count - least + 1)) == len(drawn)
    for k, share in enumerate(allowed, start=least):
        of_size = drawn[size == k]
        assert len(of_size) / len(drawn) == pytest.approx(share / sum(allowed), abs=0.015)
        assert torch.allclose(of_size.double().mean(dim=0), torch.full((count,), k / count).double(), atol=0.04)
    assert len(draw(count, least, 7, 0)) == 7


@given(count=st.integers(2, 12), most=st.integers(2, 300), seed=st.integers(0, 3))
def test_coalitions_stand_for_all(count: int, most: int, seed: int) -> None:
    coalitions, weights = weighted_coalitions(count, most, seed)
    assert len(coalitions.unique(dim=0)) == len(coalitions) <= most
    size, share = coalitions.sum(dim=1), kernel(count)
    assert float(weights.sum()) == pytest.approx(1)
    assert ((size > 0) & (size < count)).all()
    if most >= 2**count - 2:
        assert len(coalitions) == 2**count - 2
    if most >= 2 * count / share[0] and count > 3:  # single features and all but one are worth their rows
        for k in (1, count - 1):
            torch.testing.assert_close(weights[size == k], torch.full((count,), share[k - 1] / count).double())


@pytest.mark.parametrize(("count", "n_samples", "rows"), [(1, 9, 2), (2, 4, 4), (5, 32, 32), (30, 64, 64)])
def test_rows(count: int, n_samples: int, rows: int) -> None:
    model, seen = net(), []
    model.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    mask = torch.arange(40).view(1, 2, 5, 4) % count
    explain(model, samples(), KernelShap(n_samples), target=1, feature_mask=mask)
    taken = sum(seen) / len(samples())
    assert taken == rows if count < 30 else rows / 2 < taken <= rows  # drawn twice, run once


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_samples must be at least 4, got 3"):
        KernelShap(3)
