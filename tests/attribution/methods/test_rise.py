from itertools import product
from math import ceil, floor

import pytest
import torch
from cases import BY_NAME
from games import EVERY_WORLD, game, known_ids, laid_out, odd_ids, variables
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, baseline, net, samples

from lightning_explain import RISE, Input, Layer, explain
from lightning_explain.randomness import stream

MASKS, CELLS, P = 9, 2, 0.4


def fine(numbers: list[float], sides: tuple[int, ...], cells: tuple[int, ...]) -> Tensor:
    """One mask, position by position: corners weighted with how near they are."""
    sizes = [ceil(side / count) for side, count in zip(sides, cells, strict=True)]
    shape = [count + 2 for count in cells]
    grid = torch.tensor(numbers[: len(numbers) - len(sides)]).view(shape) < P
    shift = [floor(number * size) for number, size in zip(numbers[len(numbers) - len(sides) :], sizes, strict=True)]
    mask = torch.zeros(sides, dtype=torch.float64)
    for position in product(*map(range, sides)):
        at = [(p + s) / size for p, s, size in zip(position, shift, sizes, strict=True)]
        for corner in product((0, 1), repeat=len(sides)):
            share = 1.0
            for a, c in zip(at, corner, strict=True):
                share *= a - floor(a) if c else 1 - (a - floor(a))
            if share:
                mask[position] += share * float(grid[tuple(floor(a) + c for a, c in zip(at, corner, strict=True))])
    return mask


def masks(which: int, sides: tuple[int, ...], cells: tuple[int, ...]) -> list[Tensor]:
    width = len(sides) + int(torch.tensor([count + 2 for count in cells]).prod())
    drawn = torch.rand(MASKS, width, generator=stream(f"rise {which}", 0))
    return [fine(row, sides, cells) for row in drawn.tolist()]


@pytest.mark.parametrize("where", EVERY_WORLD)
def test_it_is_the_mean_score_weighted_with_the_masks(where: str) -> None:
    model, world = net(), WORLDS[where]
    found = explain(
        model, samples(), RISE(MASKS, CELLS, P), world.place, TARGETS, baseline=baseline(), max_rows=4
    ).values
    z, z0 = variables(where, model)
    sides = tuple(z.shape[2:]) if z.ndim > 2 else tuple(z.shape[1:])
    cells = tuple(min(CELLS, side) for side in sides) if z.ndim > 2 else sides
    drawn = masks(0, sides, cells)
    assert sum(float(((m > 0) & (m < 1)).float().mean()) for m in drawn) > 0 or z.ndim == 2
    for i, target in enumerate(TARGETS.tolist()):
        scores = [float(world.score(model, m * z[i] + (1 - m) * z0[i], target).detach()) for m in drawn]
        expected = sum(score * m for score, m in zip(scores, drawn, strict=True)) / (P * MASKS)
        torch.testing.assert_close(found[i], expected.expand_as(z[i]), rtol=0, atol=1e-6)  # masks are float32


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("where", ["input", "layer_input"])
def test_with_a_feature_mask_features_are_on_or_off(where: str, per_sample: bool) -> None:
    ids = odd_ids(where, per_sample=per_sample)
    method = RISE(MASKS, probability=P)
    found = explain(
        net(), samples(), method, WORLDS[where].place, TARGETS, baseline=baseline(), feature_mask=ids
    ).values
    for i, part in enumerate(found):
        value, known = game(where, i, ids), known_ids(ids, i)
        drawn = torch.rand(MASKS, len(known), generator=stream("rise", 0)) < P
        total = dict.fromkeys(known, 0.0)
        for row in drawn.tolist():
            kept = [f for f, there in zip(known, row, strict=True) if there]
            for f in kept:
                total[f] += value(kept) / (P * MASKS)
        torch.testing.assert_close(part, laid_out(total, ids, i, part), rtol=0, atol=1e-12)


def test_a_linear_score_is_estimated() -> None:
    weight = torch.rand(6, 8, dtype=torch.float64)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * weight).sum(dim=(1, 2))

    x = torch.rand(2, 6, 8, dtype=torch.float64)
    parts = x * weight
    # Of independent pixels: the pixel itself, and half of all others.
    expected = 0.5 * parts + 0.5 * parts.flatten(1).sum(dim=1).view(-1, 1, 1)
    found = explain(Linear(), x, RISE(20_000, 8), Input(channel_dim=None), "output").values
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)
    nearer = explain(Linear(), x, RISE(200, 8), Input(channel_dim=None), "output").values
    assert (found - expected).abs().max() < 0.3 * (nearer - expected).abs().max()


def test_every_position_is_on_equally_often() -> None:
    class One(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.new_ones(len(x))

    found = explain(One(), torch.rand(2, 3, 9, 10), RISE(8000, 3, 0.3), target="output", max_rows=256).values
    assert found.shape == (2, 3, 9, 10)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0.1, atol=0)
    assert torch.equal(found[:, 0], found[:, 2])


def test_several_inputs_and_ids_are_masked_together() -> None:
    case = BY_NAME["several"]
    found = explain(case.model(), case.inputs(), RISE(50), target=1).values
    assert [part.shape for part in found] == [(4, 1, 5, 6), (4, 3)]
    assert all(part.std() > 0 for part in found)
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)).double()
    ids = torch.randint(1, 9, (3, 5))
    found = explain(model, ids, RISE(300), target=1, baseline=0).values
    weight = model[0].weight.detach()
    gain = ((weight[ids] - weight[0]) / 5) @ model[1].weight[1].detach()
    drawn = torch.rand(300, 5 + 2 + 1, generator=stream("rise 0", 0))[:, :5].double() < 0.5
    blank = float(model(torch.zeros(1, 5, dtype=torch.long))[0, 1].detach())
    expected = (blank + gain @ drawn.T.double()) @ drawn.double() / 150
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_blocks_of_masks_change_nothing_and_memory_is_one_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = explain(net(), samples(), RISE(40), Layer("conv1"), 1, max_rows=7).values
    monkeypatch.setattr("lightning_explain.attribution.coalitions.ROWS_IN_A_BLOCK", 33)
    found = explain(net(), samples(), RISE(40), Layer("conv1"), 1, max_rows=7).values
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_rows() -> None:
    model, rows = net(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    explain(model, samples(), RISE(70), target=1)
    assert sum(rows) == (1 + 70) * len(samples())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_masks": 0}, "n_masks and cells must be at least 1, got 0 and 7"),
        ({"cells": 0}, "n_masks and cells must be at least 1, got 1000 and 0"),
        ({"probability": 1.0}, r"probability must be between 0 and 1, got 1\.0"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RISE(**settings)
