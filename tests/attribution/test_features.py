import pytest
import torch

from lightning_explain.attribution.feature_space import FeatureSpace
from lightning_explain.attribution.features import Features, chosen_rows


def features_of(case: str) -> tuple[Features, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Two tensors of three samples, with a mask of each kind, and the ids written out."""
    z = (torch.randn(3, 2, 4, 3), torch.randn(3, 5))
    generator = torch.Generator().manual_seed(2)
    rows = 3 if case == "own" else 1
    masks = (
        torch.randint(-3, 4, (rows, 1, 4, 3), generator=generator),
        torch.randint(-3, 4, (3 if case == "mixed" else rows, 5), generator=generator),
    )
    return Features.of(z, 1, masks, ["a", "b"]), z, tuple(m.expand_as(leaf) for m, leaf in zip(masks, z, strict=True))


@pytest.mark.parametrize("case", ["shared", "own", "mixed"])
def test_ids_become_numbers_in_their_order(case: str) -> None:
    features, z, ids = features_of(case)
    for i in range(3):
        known = sorted({int(v) for leaf in ids for v in leaf[i].flatten()})
        row = i if len(features.counts) > 1 else 0
        assert int(features.counts[row]) == len(known)
        for number, own, leaf in zip(features.numbers, ids, z, strict=True):
            laid = number[row].expand(leaf[i].shape)
            assert [known[n] for n in laid.flatten().tolist()] == own[i].flatten().tolist()
    assert features.count == int(features.counts.max())


@pytest.mark.parametrize("case", ["shared", "own", "mixed"])
def test_absent_features_are_the_baselines(case: str) -> None:
    features, z, ids = features_of(case)
    z0 = tuple(torch.randn_like(leaf) for leaf in z)
    rows = torch.tensor([2, 0, 2, 1])
    present = torch.rand(4, features.count) < 0.5
    found = features.mixed(present, rows, z, z0)
    for made, leaf, absent, own in zip(found, z, z0, ids, strict=True):
        for m, i in enumerate(rows.tolist()):
            known = sorted({int(v) for part in ids for v in part[i].flatten()})
            kept = torch.isin(own[i], torch.tensor([k for n, k in enumerate(known) if present[m, n]]).long())
            assert torch.equal(made[m], torch.where(kept, leaf[i], absent[i]))


@pytest.mark.parametrize("case", ["shared", "own", "mixed", "none"])
def test_spreading_collecting_and_sharing_out(case: str) -> None:
    z = (torch.randn(3, 2, 4, 3), torch.randn(3, 5))
    features = Features.of(z) if case == "none" else features_of(case)[0]
    there = torch.arange(features.count) < features.counts[:, None]
    numbers = torch.randn(3, features.count) * there
    spread = features.spread(numbers, z)
    assert [part.shape for part in spread] == [leaf.shape for leaf in z]
    assert torch.equal(features.collect(spread), numbers)
    torch.testing.assert_close(features.sum(features.shared_out(spread)), numbers)
    sizes = features.sum(tuple(map(torch.ones_like, z)))
    assert (sizes.sum(dim=1) == 29).all()
    torch.testing.assert_close(features.sum(spread), numbers * sizes)


def test_without_a_mask_features_are_those_of_the_space() -> None:
    picture, table = torch.randn(3, 2, 4, 3), torch.randn(3, 5)
    features = Features.of((picture, table))
    assert features.count == FeatureSpace.of((picture, table)).count == 17
    assert features.numbers[0].shape == (1, 1, 4, 3)
    assert features.numbers[1].tolist() == [[12, 13, 14, 15, 16]]
    assert Features.of((picture,), None).count == 24
    assert Features.of((torch.randn(3),)).count == 1


def test_samples_with_as_many_features_are_grouped() -> None:
    z = (torch.zeros(4, 3),)
    mask = torch.tensor([[1, 1, 1], [1, 2, 3], [5, 5, 9], [7, 8, 9]])
    groups = Features.of(z, 1, mask, ["input"]).groups
    assert [(count, rows.tolist()) for count, rows in groups] == [(1, [0]), (2, [2]), (3, [1, 3])]
    assert Features.of(z, 1, mask[1:2], ["input"]).groups == [(3, None)]
    assert Features.of(z, 1, torch.tensor([[1, 2, 2]] * 4), ["input"]).groups == [(2, None)]


def test_a_mask_that_channels_share_is_looked_up_once_for_them() -> None:
    shared = torch.arange(4).view(1, 1, 2, 2)
    leaf = torch.zeros(2, 3, 2, 2)
    for mask, channels in ((shared.expand(1, 3, 2, 2), 1), (shared.expand(2, 3, 2, 2), 1), (torch.arange(12), 3)):
        features = Features.of((leaf,), mask=mask.reshape(-1, 3, 2, 2), names=("x",))
        assert features.numbers[0].shape == (len(mask.reshape(-1, 3, 2, 2)), channels, 2, 2)
        (laid,) = features.scatter(torch.ones(5, features.count, dtype=torch.bool), torch.tensor([0, 1, 1, 0, 1]))
        assert bool(laid.all())


@pytest.mark.parametrize("ids", [[7, 7, 9, 8], [10**9, -5, 10**9, 3], [-4, -2, -4, -3]], ids=str)
def test_features_are_numbered_in_the_order_of_their_ids(ids: list[int]) -> None:
    features = Features.of((torch.zeros(1, 4),), mask=torch.tensor([ids]), names=("x",))
    order = sorted(set(ids))
    assert features.numbers[0].tolist() == [[order.index(number) for number in ids]]
    assert features.counts.tolist() == [len(order)]


def test_rows_of_a_single_sample_are_a_view() -> None:
    one, two = torch.rand(1, 3), torch.rand(2, 3)
    rows = torch.zeros(4, dtype=torch.long)
    assert chosen_rows(one, rows).data_ptr() == one.data_ptr()
    assert torch.equal(chosen_rows(one, rows), one[rows])
    assert torch.equal(chosen_rows(two, rows), two[rows])


def test_a_mask_of_no_elements_has_no_features() -> None:
    features = Features.of((torch.zeros(2, 0),), mask=torch.zeros(1, 0, dtype=torch.long), names=("x",))
    assert features.counts.tolist() == [0]
    assert features.count == 0
