from itertools import permutations

import pytest
import torch
from captum.attr import ShapleyValues as Captum
from games import EVERY_WORLD, game, known_ids, laid_out, odd_ids
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, baseline, net, samples

from lightning_explain import ShapleyValues, explain


def shapley(value: object, players: list[int]) -> dict[int, float]:
    """Every order of the players: what does each add when it comes?"""
    orders = list(permutations(players))
    total = dict.fromkeys(players, 0.0)
    for order in orders:
        for position, player in enumerate(order):
            total[player] += value(order[: position + 1]) - value(order[:position])
    return {player: added / len(orders) for player, added in total.items()}


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_it_is_the_mean_over_all_orders(where: str, per_sample: bool) -> None:
    ids = odd_ids(where, per_sample=per_sample)
    found = explain(
        net(), samples(), "shapley_values", WORLDS[where].place, TARGETS, baseline=baseline(), feature_mask=ids
    )
    assert found.delta.abs().max() < 1e-12
    for i, part in enumerate(found.values):
        expected = shapley(game(where, i, ids), known_ids(ids, i))
        torch.testing.assert_close(part, laid_out(expected, ids, i, part), rtol=0, atol=1e-12)


def test_captum_agrees() -> None:
    model, x, mask = net(), samples(), torch.arange(40).view(1, 2, 5, 4) % 5
    found = explain(model, x, "shapley_values", target=TARGETS, baseline=baseline(), feature_mask=mask).values
    theirs = Captum(model).attribute(x, baseline(), TARGETS, feature_mask=mask)
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-6, check_dtype=False)


class Glove(nn.Module):
    """Two left gloves and a right one: a pair is worth one."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.minimum(x[:, 0] + x[:, 1], x[:, 2]).clamp(max=1)


def test_a_textbook_game() -> None:
    found = explain(Glove(), torch.ones(2, 3), "shapley_values", target="output").values
    torch.testing.assert_close(found, torch.tensor([[1 / 6, 1 / 6, 4 / 6]] * 2))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rows_are_coalitions_not_orders(count: int) -> None:
    model, rows = net(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    mask = torch.arange(40).view(1, 2, 5, 4) % count
    explain(model, samples(), "shapley_values", target=1, feature_mask=mask)
    assert sum(rows) == 2**count * len(samples())


def test_too_many_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Exact Shapley values of 20 features take 2\*\*20 rows a sample; at most"):
        explain(net(), samples(), "shapley_values", target=1)
    with pytest.raises(ValueError, match=r"max_features=2 are allowed\. Join elements to fewer features"):
        explain(Glove(), torch.ones(1, 3), ShapleyValues(max_features=2), target="output")
    with pytest.raises(ValueError, match="max_features must be at least 1, got 0"):
        ShapleyValues(0)
