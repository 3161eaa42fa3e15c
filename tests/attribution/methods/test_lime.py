from math import exp, sqrt

import pytest
import torch
from captum._utils.models.linear_model import SkLearnLasso
from captum.attr import Lime as Captum
from games import EVERY_WORLD, game, known_ids, laid_out, odd_ids, variables
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, baseline, net, samples

from lightning_explain import Lime, explain
from lightning_explain.randomness import stream


def coalitions(count: int, n_samples: int) -> list[list[int]]:
    if 2**count <= n_samples:
        return [[f for f in range(count) if number >> f & 1] for number in range(2**count)]
    drawn = torch.rand(n_samples, count, generator=stream("lime", 0))
    return [[f for f, number in enumerate(row) if number < 0.5] for row in drawn.tolist()]


def distance(kind: str, z: Tensor, z0: Tensor, kept: Tensor) -> float:
    at = torch.where(kept, z, z0)
    if kind == "euclidean":
        return float((z - at).norm())
    return 1 - float((z * at).sum()) / max(float(z.norm() * at.norm()), 1e-300)


@pytest.mark.parametrize(("kind", "width"), [("cosine", 0.25), ("euclidean", 2.0)])
@pytest.mark.parametrize(("n_samples", "per_sample"), [(12, False), (12, True), (100, False)])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_ridge_solves_the_weighted_normal_equations(
    where: str, n_samples: int, per_sample: bool, kind: str, width: float
) -> None:
    ids = odd_ids(where, per_sample=per_sample)
    method = Lime(n_samples, "ridge", alpha=0.02, distance=kind, kernel_width=width)
    found = explain(net(), samples(), method, WORLDS[where].place, TARGETS, baseline=baseline(), feature_mask=ids)
    z, z0 = variables(where, net())
    for i, part in enumerate(found.values):
        value, known = game(where, i, ids), known_ids(ids, i)
        chosen = coalitions(len(known), n_samples)
        own = ids[i if per_sample else 0].expand(z[i].shape)
        x = torch.tensor(
            [[1.0, *(float(f in kept) for f in range(len(known)))] for kept in chosen], dtype=torch.float64
        )
        y = torch.tensor([value([known[f] for f in kept]) for kept in chosen], dtype=torch.float64)
        away = [
            distance(kind, z[i], z0[i], torch.isin(own, torch.tensor([known[f] for f in kept]).long()))
            for kept in chosen
        ]
        weight = torch.tensor([exp(-(d**2) / (2 * width**2)) for d in away], dtype=torch.float64)
        weight = weight / weight.sum()
        penalty = 0.02 * torch.eye(len(known) + 1, dtype=torch.float64)
        penalty[0, 0] = 0  # not of the intercept
        beta = torch.linalg.solve(x.T @ (weight[:, None] * x) + penalty, x.T @ (weight * y))[1:]
        expected = dict(zip(known, beta.tolist(), strict=True))
        torch.testing.assert_close(part, laid_out(expected, ids, i, part), rtol=0, atol=1e-9)
        torch.testing.assert_close(found.coefficients[i, : len(known)], beta, rtol=0, atol=1e-9)


class Sum(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.weight = factor * torch.tensor([1.0, -2.0, 3.0, 0.0, 0.5], dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


@pytest.mark.parametrize("n_samples", [20, 500])  # drawn, and every coalition
def test_least_squares_recover_a_linear_score(n_samples: int) -> None:
    x = torch.randn(3, 5, dtype=torch.float64)
    found = explain(Sum(), x, Lime(n_samples, alpha=0), target="output").values
    torch.testing.assert_close(found, x * Sum().weight, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:You are providing multiple inputs for Lime")
def test_the_lasso_drops_what_adds_little_whatever_the_units_of_the_score() -> None:
    x = torch.ones(2, 5, dtype=torch.float64)
    found = explain(Sum(), x, Lime(500, alpha=0.1), target="output").values
    assert (found[:, [3, 4]] == 0).all()
    assert found[:, :3].abs().min() > 0.1
    tiny = explain(Sum(1e-6), x, Lime(500, alpha=0.1), target="output").values
    torch.testing.assert_close(tiny * 1e6, found, rtol=1e-6, atol=1e-9)
    theirs = Captum(Sum(1e-6)).attribute(x, n_samples=100)  # alpha = 0.01 in the score's own units
    assert theirs.abs().max() == 0


def test_the_lassos_strength_in_units_of_the_score() -> None:
    # Of independent halves of 0 and 1 each has variance 1/4: the lasso takes 4 alpha off each slope.
    x = torch.eye(5, dtype=torch.float64)[:1] + 1
    found = [
        explain(
            Sum(factor), x, Lime(32, alpha=0.05, relative=False, kernel_width=1e6), target="output", baseline=0.0
        ).values
        for factor in (1.0, 10.0)
    ]
    slopes = x * Sum().weight
    for factor, values in zip((1.0, 10.0), found, strict=True):
        expected = (factor * slopes).sign() * ((factor * slopes).abs() - 0.2).clamp(min=0)
        torch.testing.assert_close(values, expected, rtol=0, atol=1e-6)


def test_captum_agrees_on_the_same_coalitions() -> None:
    model, x, b, mask = net(), samples(), baseline(), torch.arange(40).view(1, 2, 5, 4) % 6
    drawn = (torch.rand(60, 6, generator=stream("lime", 0)) < 0.5).long()
    ours = explain(model, x, Lime(60, alpha=0.01), target=TARGETS, baseline=b, feature_mask=mask).coefficients
    for i in range(len(x)):
        rows = iter(drawn)
        scores, weights = [], []
        for row in drawn:
            at = torch.where(row.bool()[mask[0]], x[i], b[0])
            scores.append(float(model(at[None])[0, TARGETS[i]].detach()))
            weights.append(exp(-(distance("cosine", x[i], at, torch.zeros(at.shape, dtype=torch.bool)) ** 2) / 2))
        weight = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        y = torch.tensor(scores, dtype=torch.float64)
        deviation = sqrt(float((weight * (y - (weight * y).sum()) ** 2).sum()))
        theirs = Captum(
            model,
            interpretable_model=SkLearnLasso(alpha=0.01 * deviation, tol=1e-6, max_iter=10_000),
            perturb_func=lambda *_, rows=rows, **__: next(rows)[None],
        ).attribute(x[i : i + 1], b, int(TARGETS[i]), feature_mask=mask, n_samples=60, return_input_shape=False)
        torch.testing.assert_close(ours[i], theirs[0].double(), rtol=0, atol=1e-4)  # theirs is float32


def test_ids_are_compared_as_there_or_not() -> None:
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)).double()
    ids = torch.randint(1, 9, (3, 5))
    other = (ids + 4) % 9
    method = Lime(32, "ridge", alpha=0, distance="euclidean")
    model[0].weight.data[other.flatten()] = model[0].weight.data[ids.flatten()]
    found, renamed = (explain(model, given, method, target=1, baseline=0).values for given in (ids, ids.clone()))
    assert torch.equal(found, renamed)
    weight = model[0].weight.detach()
    expected = ((weight[ids] - weight[0]) / 5) @ model[1].weight[1].detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_samples", [2, 9, 64])
def test_rows(n_samples: int) -> None:
    model, rows = net(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    mask = torch.arange(40).view(1, 2, 5, 4) % 5
    found = explain(model, samples(), Lime(n_samples), target=1, feature_mask=mask)
    assert sum(rows) == (1 + min(n_samples, 32)) * len(samples())  # the outputs, and the coalitions
    assert found.delta is None
    assert torch.isfinite(found.values).all()


def test_far_samples_do_not_make_all_weights_vanish() -> None:
    x = 1e3 * torch.ones(2, 5, dtype=torch.float64)
    found = explain(Sum(), x, Lime(64, "ridge", distance="euclidean", kernel_width=0.1), target="output").values
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_samples": 1}, "n_samples must be at least 2, got 1"),
        ({"regularization": "ridg"}, r"No regularization 'ridg'\. Did you mean 'ridge'\? Known: lasso, ridge"),
        ({"distance": "l2"}, r"No distance 'l2'\. Known: cosine, euclidean"),
        ({"alpha": -1.0}, r"alpha must not be negative and kernel_width above 0, got -1\.0"),
        ({"kernel_width": 0.0}, r"alpha must not be negative and kernel_width above 0, got 0\.01 and 0\.0"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lime(**settings)
