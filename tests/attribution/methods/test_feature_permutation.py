import pytest
import torch
from captum.attr import FeaturePermutation as Captum
from games import EVERY_WORLD, odd_ids, variables
from torch import Tensor, nn
from worlds import TARGETS, WORLDS, net, samples

from lightning_explain import FeaturePermutation, explain
from lightning_explain.attribution.methods.feature_permutation import permutations


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("where", EVERY_WORLD)
def test_it_is_the_mean_fall_when_samples_exchange_the_feature(where: str, per_sample: bool) -> None:
    model, world, ids = net(), WORLDS[where], odd_ids(where, per_sample=per_sample)
    method = FeaturePermutation(3, seed=5)
    found = explain(model, samples(), method, world.place, TARGETS, feature_mask=ids, max_rows=4).values
    z, _ = variables(where, model)
    orders = permutations(len(z), 3, 5).tolist()
    for i, target in enumerate(TARGETS.tolist()):
        own = ids[i if per_sample else 0].expand(z[i].shape)
        for number in own.unique().tolist():
            falls = []
            for order in orders:
                exchanged = torch.where(own == number, z[order[i]], z[i])
                falls.append(float((world.score(model, z[i], target) - world.score(model, exchanged, target)).detach()))
            expected = sum(falls) / len(falls)
            torch.testing.assert_close(
                found[i][own == number], torch.full_like(found[i][own == number], expected), rtol=0, atol=1e-12
            )


def test_captum_agrees_on_the_same_permutation() -> None:
    model, x, mask = net(), samples(), odd_ids("input")
    (order,) = permutations(len(x), 1, 0)

    def exchange(z: Tensor, chosen: Tensor) -> Tensor:
        return torch.where(chosen, z[order], z)

    theirs = Captum(model, exchange).attribute(x, TARGETS, feature_mask=mask)
    ours = explain(model, x, "feature_permutation", target=TARGETS, feature_mask=mask).values
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12, check_dtype=False)
    alone = Captum(model, exchange).attribute(x[:1], TARGETS[:1], feature_mask=mask)
    ours = explain(model, x[:1], "feature_permutation", target=TARGETS[:1], feature_mask=mask).values
    assert alone.abs().max() == ours.abs().max() == 0


@pytest.mark.parametrize("n", [2, 3, 6])
def test_every_permutation_moves_every_sample_and_no_donor_is_favored(n: int) -> None:
    drawn = permutations(n, 900, 1)
    assert torch.equal(drawn.sort(dim=1).values, torch.arange(n).expand(900, n))
    assert (drawn != torch.arange(n)).all()
    for sample in range(n):
        counts = drawn[:, sample].bincount(minlength=n)
        others = counts[torch.arange(n) != sample]
        assert (others - 900 / (n - 1)).abs().max() < 0.25 * 900 / (n - 1)
    assert torch.equal(drawn, permutations(n, 900, 1))
    assert n == 2 or not torch.equal(drawn, permutations(n, 900, 2))


def test_a_function_of_the_callers_exchanges_each_feature_once() -> None:
    model, x, mask = net(), samples(), odd_ids("input", per_sample=True)
    seen = []

    def turned(z: tuple[Tensor, ...], masks: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen.append(masks[0])
        return (torch.where(masks[0], z[0].flip(0), z[0]),)

    for max_rows in (None, 2, 5):
        seen.clear()
        found = explain(
            model, x, FeaturePermutation(exchange=turned), target=TARGETS, feature_mask=mask, max_rows=max_rows
        )
        assert len(seen) == 4
        assert torch.equal(sum(held.int() for held in seen), torch.ones_like(mask, dtype=torch.int32))
        for i, number in ((0, -10), (1, 11)):
            exchanged = torch.where(mask[i] == number, x.flip(0)[i], x[i])[None]
            fall = model(x[i : i + 1])[0, TARGETS[i]] - model(exchanged)[0, TARGETS[i]]
            expected = fall.detach().expand((mask[i] == number).sum())
            torch.testing.assert_close(found.values[i][mask[i] == number], expected, rtol=0, atol=1e-12)


def test_rows_and_no_baseline() -> None:
    model, rows = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2)).double(), []
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    ids = torch.arange(20).view(4, 5) % 9  # ids, for which there is no baseline
    found = explain(model, ids, FeaturePermutation(2), target=1)
    assert found.values.abs().amax(dim=0).min() > 0
    assert sum(rows) == 4 * (1 + 2 * 5)
    assert found.delta is None


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="n_permutations must be at least 1, got 0"):
        FeaturePermutation(0)
