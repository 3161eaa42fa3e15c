"""How far attributions are from adding up."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import TARGETS, WORLDS, baseline, gradient, net, samples

from lightning_explain.attribution.convergence import Draws, convergence_delta
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import (
    LRP,
    DeepLift,
    DeepLiftShap,
    GradientShap,
    IntegratedGradients,
    Method,
    SmoothGrad,
    VarGrad,
)
from lightning_explain.attribution.noise import gaussian
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.rules import Composite, Epsilon
from lightning_explain.inputs import Point

KNOWN = torch.randn(4, 2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def with_deltas(method: Method, where: str, max_rows: int = 5) -> tuple[Point, Tensor, Point]:
    model = net()
    with borrowed(model):
        posed = pose(model, samples(), TARGETS[:, None], baseline=baseline())
        posed = replace(posed, place=WORLDS[where].place)
        posed.budget.max_rows = max_rows
        return *method.with_deltas(posed), method(fresh(posed))


def fresh(problem: Problem) -> Problem:
    return replace(problem, tails={})


def test_draws_are_collected_pair_by_pair() -> None:
    values = torch.randn(3, 4, 2, dtype=torch.float64)
    draws = Draws(3, 4)
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(4))[torch.randperm(12)]
    for rows, copies in (pairs[:5].T, pairs[5:].T):
        draws.add(rows, copies, (values[rows, copies],))
    torch.testing.assert_close(draws.mean[0], values.mean(dim=1))
    torch.testing.assert_close(draws.sums, values.sum(dim=2))


@pytest.mark.parametrize("where", WORLDS)
@pytest.mark.parametrize("method", [IntegratedGradients(4), DeepLift()])
def test_by_default_it_is_that_of_each_sample(method: Method, where: str) -> None:
    point, deltas, alone = with_deltas(method, where)
    model, world = net(), WORLDS[where]
    torch.testing.assert_close(point, alone)
    for i, target in enumerate(TARGETS.tolist()):
        scores = [world.score(model, world.variable(model, v), target).item() for v in (samples()[i], baseline()[0])]
        assert deltas[i].item() == pytest.approx(point[0][i].sum().item() - (scores[0] - scores[1]), abs=1e-12)
    assert deltas.shape == (3, 1)


@pytest.mark.parametrize("where", WORLDS)
@pytest.mark.parametrize("multiply", [True, False])
def test_each_draw_of_gradient_shap(where: str, multiply: bool) -> None:
    method = GradientShap(5, 0.3, KNOWN, multiply, unit="absolute")
    point, deltas, alone = with_deltas(method, where)
    torch.testing.assert_close(point, alone)
    model, world = net(), WORLDS[where]
    noise = gaussian(samples(), 0.3, 0, "absolute")
    alphas, chosen = method._draws(1)[0], method._draws(4)[1]
    for i, target in enumerate(TARGETS.tolist()):
        for k in range(5):
            end = world.variable(model, samples()[i] + noise(k)[0][i]).detach()
            start = world.variable(model, KNOWN[chosen[k]]).detach()
            slope = gradient(world, model, start + alphas[k] * (end - start), target)
            total = (slope * (end - start) if multiply else slope).sum()
            span = world.score(model, end, target) - world.score(model, start, target)
            assert deltas[i, k].item() == pytest.approx((total - span).item(), abs=1e-12)
    assert deltas.shape == (3, 5)


@pytest.mark.parametrize("where", WORLDS)
def test_each_baseline_of_deep_lift_shap(where: str) -> None:
    point, deltas, alone = with_deltas(DeepLiftShap(KNOWN), where)
    torch.testing.assert_close(point, alone)
    assert deltas.shape == (3, 4)
    assert deltas.abs().max() < 1e-12
    plain, deltas, _ = with_deltas(DeepLiftShap(KNOWN, multiply_by_inputs=False), where)
    model, world = net(), WORLDS[where]
    for i, target in enumerate(TARGETS.tolist()):
        end, *starts = (world.variable(model, x) for x in (samples()[i], *KNOWN))
        spans = [(world.score(model, end, target) - world.score(model, start, target)).item() for start in starts]
        expected = plain[0][i].sum().item() - sum(spans) / 4
        assert deltas[i].mean().item() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("where", ["input", "output"])
@pytest.mark.parametrize("tunnel", [SmoothGrad, VarGrad])
def test_each_copy_of_a_noise_tunnel(where: str, tunnel: type[SmoothGrad]) -> None:
    inner = IntegratedGradients(3)
    point, deltas, alone = with_deltas(tunnel(inner, 4, 0.2, unit="absolute"), where)
    torch.testing.assert_close(point, alone)
    noise = gaussian(samples(), 0.2, 0, "absolute")
    model = net()
    with borrowed(model):
        for k in range(4):
            x = samples() + noise(k)[0]
            posed = replace(pose(model, x, TARGETS[:, None], baseline=baseline()), place=WORLDS[where].place)
            torch.testing.assert_close(deltas[:, k], inner.with_deltas(posed)[1][:, 0], rtol=0, atol=1e-12)


def test_the_draws_of_each_copy_stand_together() -> None:
    inner = GradientShap(2, baselines=KNOWN)
    _, deltas, _ = with_deltas(SmoothGrad(inner, 3, 0.2), "input")
    noise = gaussian(samples(), 0.2, 0)
    model = net()
    with borrowed(model):
        for k in range(3):
            posed = pose(model, samples() + noise(k)[0], TARGETS[:, None], baseline=baseline())
            torch.testing.assert_close(deltas[:, 2 * k : 2 * k + 2], inner.with_deltas(posed)[1], rtol=0, atol=1e-12)


def test_relevance_has_the_score_to_add_up_to() -> None:
    exact = Composite(Epsilon(0.0), Epsilon(0.0))
    point, deltas, alone = with_deltas(LRP(exact), "input")
    torch.testing.assert_close(point, alone)
    scores = net()(samples())[torch.arange(3), TARGETS].detach()
    torch.testing.assert_close(deltas[:, 0], point[0].flatten(1).sum(dim=1) - scores)
    assert deltas.abs().max() > 1e-3  # biases take their share


def test_the_delta_is_in_double_precision() -> None:
    point = (torch.tensor([[1.0, 2.0], [3.0, 4.0]]),)
    found = convergence_delta(point, torch.tensor([3.5, 7.0]), torch.tensor([1.0, 0.0]))
    assert found.dtype == torch.float64
    assert found.tolist() == [0.5, 0.0]
