"""Distinct rows of a batch, and what they stand for."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules.rescale import Rescale
from lightning_explain.attribution.rules.shared import Shared

NUMBERS = torch.tensor([3, 3, 5, 5, 5])
ROWS = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
BATCH = ROWS[[0, 0, 1, 1, 1]]
SHARED, ONE = Shared.of((BATCH,), NUMBERS), Shared.of((BATCH[:2],), NUMBERS[:2])


def test_rows_that_are_the_same() -> None:
    assert SHARED.first.tolist() == [0, 2]
    assert SHARED.which.tolist() == [0, 0, 1, 1, 1]
    assert torch.equal(SHARED.distinct((BATCH,))[0], ROWS)
    assert torch.equal(SHARED.spread(ROWS), BATCH)
    assert torch.equal(SHARED.spread(ROWS.movedim(0, 1), dim=1), BATCH.movedim(0, 1))
    assert torch.equal(ONE.spread(ROWS[:1].movedim(0, 2), dim=2), BATCH[:2].movedim(0, 2))


def test_rows_that_are_not() -> None:
    assert Shared.of((BATCH,), torch.zeros(5)) is None
    assert Shared.of((BATCH, torch.arange(5)), NUMBERS) is None
    assert Shared.of((BATCH,), torch.arange(5)) is None
    assert Shared.of((BATCH[:1],), torch.zeros(1)) is None


def test_the_batch_is_found_wherever_it_is() -> None:
    for dim in range(3):
        few, like = ROWS.movedim(0, dim), BATCH.movedim(0, dim)
        assert torch.equal(SHARED.spread_like(few, like), like)
    held = torch.randn(4, 7)  # of no row
    assert SHARED.spread_like(held, held + 1) is held


@pytest.mark.parametrize(("few", "like"), [((2, 4), (4,)), ((6, 4), (15, 4)), ((2, 2), (5, 5)), ((5, 4), (2, 4))])
def test_what_does_not_differ_by_the_batch_alone_is_refused(few: tuple[int, ...], like: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="No batch dimension tells"):
        SHARED.spread_like(torch.zeros(few), torch.zeros(like))


def operator(x: Tensor) -> Tensor:
    mixed = F.layer_norm(x, (4,)).movedim(0, 1).softmax(dim=-1) * torch.linspace(1, 2, 4)
    pooled = F.max_pool1d((mixed.movedim(0, 1) @ x.mT).relu(), 2)
    return (F.gelu(pooled) / (x[:, :, :1].exp() + 1)).sum(dim=(1, 2))


def merging(x: Tensor) -> Tensor:
    return operator(x.tanh().flatten(0, 1).sigmoid().unflatten(0, (-1, 3)))


def filling(x: Tensor) -> Tensor:
    return operator(torch.cat([x, x.new_ones(8 - len(x), 3, 4)]).exp())[: len(x)]


@pytest.mark.parametrize("model", [operator, merging, filling])
@pytest.mark.parametrize("shared", [SHARED, ONE])
def test_multipliers_are_those_of_all_rows(model, shared: Shared) -> None:
    batch = BATCH[: len(shared.which)]
    x = torch.randn(batch.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    asked = []

    def at_reference(shared: Shared | None) -> Tensor:
        asked.append(shared)
        return model(batch) if shared is None else shared.spread(model(shared.distinct((batch,))[0]))

    found = []
    for given in (None, shared):
        leaf = x.clone().requires_grad_()
        scores, scores0 = Rescale(1e-10).paired(lambda leaf=leaf: model(leaf), at_reference, given)
        found.append((scores, scores0, torch.autograd.grad(scores.sum(), leaf)[0]))
    torch.testing.assert_close(found[1], found[0])
    assert asked == [None, shared] + [None] * (model is not operator)


def test_what_a_model_raises_for_other_reasons_is_raised() -> None:
    def fail(_: object) -> Tensor:
        raise ValueError("no reference at all")

    with pytest.raises(ValueError, match="no reference at all"):
        Rescale(1e-10).paired(lambda: operator(BATCH.clone().requires_grad_()), fail, SHARED)
