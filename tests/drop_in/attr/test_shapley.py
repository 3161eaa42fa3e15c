from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from captum import attr as captum
from torch import Tensor, nn

from lightning_explain.captum import attr as ours
from lightning_explain.captum.errors import ArgumentError

X = torch.tensor([[1.0, -2.0, 3.0, 0.5], [2.0, 1.0, -1.0, 4.0]])
B = torch.tensor([[0.5, 0.0, -1.0, 1.0]])


def small(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, outputs)).eval()


def by_orders(value: Callable[[Tensor], float], x: Tensor, b: Tensor) -> Tensor:
    """The mean rise of each number when it joins, over all orders."""
    orders, rises = list(permutations(range(len(x)))), torch.zeros(len(x), dtype=torch.float64)
    for order in orders:
        current = b.clone()
        for number in order:
            before = value(current)
            current[number] = x[number]
            rises[number] += value(current) - before
    return rises / len(orders)


def test_exact_values_are_those_of_all_orders() -> None:
    model = small().double()
    found = ours.ShapleyValues(model).attribute(X.double(), B.double(), target=1)
    for x, values in zip(X.double(), found, strict=True):
        expected = by_orders(lambda point: float(model(point[None])[0, 1].detach()), x, B[0].double())
        torch.testing.assert_close(values, expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("target", [None, 1, [0, 2]], ids=str)
@pytest.mark.parametrize("mask", [None, torch.tensor([[0, 0, 1, 2]]), torch.tensor([1, 0, 0, 1])], ids=str)
def test_captum_agrees_on_all_orders(target: object, mask: Tensor | None) -> None:
    expected = captum.ShapleyValues(small()).attribute(X, B, target, feature_mask=mask)
    for per_eval in (1, 3, 100):
        found = ours.ShapleyValues(small()).attribute(X, B, target, feature_mask=mask, perturbations_per_eval=per_eval)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_ids_need_not_be_consecutive() -> None:
    method = ours.ShapleyValues(small())
    expected = method.attribute(X, B, 1, feature_mask=torch.tensor([[0, 0, 1, 2]]))
    torch.testing.assert_close(method.attribute(X, B, 1, feature_mask=torch.tensor([-5, -5, 8, 100])), expected)
    whole = method.attribute(X, B, 1, feature_mask=torch.tensor(4))
    rise = (small()(X) - small()(B))[:, 1].detach()
    torch.testing.assert_close(whole, rise[:, None].expand(2, 4))


def test_masks_of_each_sample() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [2, 1, 0, 3]])
    for target in (None, 2):
        expected = captum.ShapleyValues(small()).attribute(X, B, target, feature_mask=mask)
        torch.testing.assert_close(
            ours.ShapleyValues(small()).attribute(X, B, target, feature_mask=mask), expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    "forward",
    [
        lambda x, y: (x.sum() * y.prod()).reshape(1),
        lambda x, y: x.sum() * y.prod(),
        lambda x, y: float(x.sum() * y.prod()),
        lambda x, y: int(x.sum() * y.prod()),
        lambda x, y: torch.stack([x.prod(), y.sum(), x[0, 0]]),
        lambda x, y: torch.stack([x.prod(), y.sum()]).reshape(1, 2),
    ],
    ids=["one", "no dimension", "float", "int", "three", "a row"],
)
def test_numbers_for_the_batch_as_a_whole(forward: Callable[..., object]) -> None:
    given = (X[:, :2], torch.tensor([[2], [3]]))
    expected = captum.ShapleyValues(forward).attribute(given)
    found = ours.ShapleyValues(forward).attribute(given)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-5, check_dtype=False)
        assert left.is_floating_point()
    with pytest.raises(ArgumentError, match="leave perturbations_per_eval at 1"):
        ours.ShapleyValues(forward).attribute(given, perturbations_per_eval=2)
    with pytest.raises(AssertionError, match="a feature mask then has one row"):
        ours.ShapleyValueSampling(lambda x: x.sum()).attribute(
            X, feature_mask=torch.tensor([[0, 1, 2, 3], [0, 0, 1, 1]])
        )


def test_samples_tend_to_the_exact_values() -> None:
    torch.manual_seed(3)
    exact = ours.ShapleyValues(small()).attribute(X, B)
    near = ours.ShapleyValueSampling(small()).attribute(X, B, n_samples=2000)
    far = ours.ShapleyValueSampling(small()).attribute(X, B, n_samples=20)
    assert near.shape == exact.shape == (2, 3, 4)
    assert (near - exact).abs().max() < 0.02 < (far - exact).abs().max()
    torch.testing.assert_close(far.sum(dim=2), exact.sum(dim=2), atol=1e-5, rtol=1e-5)  # complete, every order


def test_samples_depend_on_the_seed_and_move_no_global_state() -> None:
    method = ours.ShapleyValueSampling(small())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (method.attribute(X, B, 0, n_samples=3) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(6)
    assert not torch.equal(first, method.attribute(X, B, 0, n_samples=3))
    for per_eval in (2, 7):
        again = method.attribute(X, B, 0, n_samples=3, perturbations_per_eval=per_eval)
        torch.testing.assert_close(again, method.attribute(X, B, 0, n_samples=3))


def test_booleans_and_inputs_of_different_lengths() -> None:
    flags = torch.tensor([[True, False], [True, True]])
    found = ours.ShapleyValues(lambda x: x.float().prod(dim=1)).attribute(flags)
    assert found.tolist() == [[0, 0], [0.5, 0.5]]
    forward = lambda x, ids: x.sum() + (ids[1] if len(ids) else 0)  # noqa: E731
    for ids in (torch.tensor([1, 7, 3]), torch.tensor([])):
        first, second = ours.ShapleyValues(forward).attribute((X[:, :2], ids))
        torch.testing.assert_close(first, X[:, :2].sum(dim=0, keepdim=True))
        assert second.tolist() == pytest.approx([7.0 if len(ids) else 0.0])


def test_a_row_for_each_coalition() -> None:
    rows = 0

    def forward(x: Tensor) -> Tensor:
        nonlocal rows
        rows += len(x)
        return x

    ours.ShapleyValues(forward).attribute(X)
    assert rows == 2 * 2**4 + 4  # for every one of four outputs; and the trial of more rows


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ArgumentError, match="n_samples must be at least 1, got 0"):
        ours.ShapleyValueSampling(small()).attribute(X, n_samples=0)
    with pytest.raises(ValueError, match="Exact Shapley values of 20 features"):
        ours.ShapleyValues(lambda x: x.sum(dim=1)).attribute(torch.ones(2, 20))
