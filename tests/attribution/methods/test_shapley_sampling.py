import pytest
import torch
from captum.attr import ShapleyValueSampling as Captum
from games import EVERY_WORLD, game, known_ids, laid_out, odd_ids
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, baseline, net, samples

from lightning_explain import ShapleySampling, explain
from lightning_explain.randomness import stream


def orders(count: int, draws: int, antithetic: bool) -> list[list[int]]:
    """The orders that are drawn: features sorted by their positions."""
    position = torch.rand(draws, count, generator=stream("orders of features", 0)).argsort(dim=1)
    drawn = [sorted(range(count), key=row.__getitem__) for row in position.tolist()]
    return [*drawn, *(order[::-1] for order in drawn)] if antithetic else drawn


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_it_is_the_mean_rise_over_the_orders(where: str, antithetic: bool, per_sample: bool) -> None:
    ids = odd_ids(where, per_sample=per_sample)
    method = ShapleySampling(6, antithetic=antithetic)
    found = explain(net(), samples(), method, WORLDS[where].place, TARGETS, baseline=baseline(), feature_mask=ids)
    assert found.delta.abs().max() < 1e-12
    for i, part in enumerate(found.values):
        value, known = game(where, i, ids), known_ids(ids, i)
        rises = dict.fromkeys(known, 0.0)
        for order in orders(len(known), 3 if antithetic else 6, antithetic):
            for step in range(len(order)):
                before, after = ([known[f] for f in order[:end]] for end in (step, step + 1))
                rises[known[order[step]]] += (value(after) - value(before)) / 6
        torch.testing.assert_close(part, laid_out(rises, ids, i, part), rtol=0, atol=1e-12)


@pytest.mark.parametrize("antithetic", [False, True])
def test_it_tends_to_the_exact_values_as_captum_does(antithetic: bool) -> None:
    model, x, mask = net(), samples(), torch.arange(40).view(1, 2, 5, 4) % 5
    given = {"target": TARGETS, "baseline": baseline(), "feature_mask": mask}
    exact = explain(model, x, "shapley_values", **given).values
    errors = [
        (explain(model, x, ShapleySampling(n, antithetic=antithetic), **given).values - exact).abs().max()
        for n in (10, 1000)
    ]
    assert errors[1] < 0.3 * errors[0]
    theirs = Captum(model).attribute(x, baseline(), TARGETS, feature_mask=mask, n_samples=100, perturbations_per_eval=9)
    assert errors[1] < (theirs - exact).abs().max()


def test_a_pair_of_orders_is_exact_where_features_act_two_by_two() -> None:
    class Quadratic(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, 0] * x[:, 1] - 3 * x[:, 1] * x[:, 3] + x[:, 2] + 2 * x[:, 0] * x[:, 3]

    x = torch.randn(3, 4, dtype=torch.float64)
    exact = explain(Quadratic(), x, "shapley_values", target="output").values
    pair = explain(Quadratic(), x, ShapleySampling(2, antithetic=True), target="output").values
    single = explain(Quadratic(), x, ShapleySampling(3), target="output").values
    torch.testing.assert_close(pair, exact, rtol=0, atol=1e-12)
    assert (single - exact).abs().max() > 1e-3


@pytest.mark.parametrize("count", [1, 2, 6])
def test_rows(count: int) -> None:
    model, rows = net(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    mask = torch.arange(40).view(1, 2, 5, 4) % count
    explain(model, samples(), ShapleySampling(7), target=1, feature_mask=mask)
    assert sum(rows) == (7 * (count - 1) + 2) * len(samples())


def test_blocks_of_orders_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = explain(net(), samples(), ShapleySampling(5), target=1).values
    monkeypatch.setattr("lightning_explain.attribution.coalitions.ROWS_IN_A_BLOCK", 130)
    torch.testing.assert_close(explain(net(), samples(), ShapleySampling(5), target=1).values, expected)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        ShapleySampling(0)
    with pytest.raises(ValueError, match="n_samples must be even for antithetic pairs of orders, got 5"):
        ShapleySampling(5, antithetic=True)
