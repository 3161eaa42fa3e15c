"""DeepLift's multipliers of a normalisation, against the rules of the operators that it is made of."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules.multipliers import MULTIPLIERS
from lightning_explain.attribution.rules.rescale import Rescale

WEIGHT, BIAS = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
NORMALISED: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda x: F.layer_norm(x, (6,)),
    "with parameters": lambda x: F.layer_norm(x, (6,), WEIGHT, BIAS, 1e-2),
    "of two dimensions": lambda x: torch.layer_norm(x, (5, 6), None, None, 1e-3),
    "by keywords": lambda x: F.layer_norm(normalized_shape=[6], eps=0.3, weight=WEIGHT, input=x),
    "groups": lambda x: F.group_norm(x.movedim(1, 2), 3, WEIGHT, BIAS),
    "instances": lambda x: F.instance_norm(x, weight=BIAS[:5]),
}


@pytest.fixture
def points() -> tuple[Tensor, Tensor]:
    x, x0 = torch.randn(2, 4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x0[1], x0[2] = x[1], 2 * x[2]  # no difference; none that the normalisation leaves
    return 3 * x + 1, x0


def multipliers(operator: Callable[[Tensor], Tensor], x: Tensor, x0: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out, _ = Rescale(1e-10).paired(lambda: operator(leaf), lambda _: operator(x0.clone()))
    weights = torch.linspace(-1, 2, out[0].numel(), dtype=x.dtype).view_as(out[:1])
    return torch.autograd.grad((out * weights).sum(), leaf)[0]


@pytest.mark.parametrize("name", NORMALISED)
def test_one_step_says_what_the_operators_that_it_is_made_of_say(
    name: str, points: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = multipliers(NORMALISED[name], *points)
    monkeypatch.delitem(MULTIPLIERS, "layer_norm")
    torch.testing.assert_close(found, multipliers(NORMALISED[name], *points), rtol=1e-9, atol=1e-12)


def test_parameters_that_depend_on_the_variable_have_their_share(points: tuple[Tensor, Tensor]) -> None:
    def adaptive(x: Tensor) -> Tensor:
        return torch.cat([F.layer_norm(row, (6,), row[0].tanh(), row[1] * row[2])[None] for row in x])

    def written_out(x: Tensor) -> Tensor:
        return torch.cat([F.layer_norm(row, (6,))[None] * row[0].tanh() + row[1] * row[2] for row in x])

    torch.testing.assert_close(multipliers(adaptive, *points), multipliers(written_out, *points))


def test_a_weight_alone_that_depends_on_the_variable_is_a_factor(points: tuple[Tensor, Tensor]) -> None:
    fixed = torch.arange(6, dtype=torch.float64) ** 2
    found = multipliers(lambda x: F.layer_norm(fixed, (6,), x[0, 0]), *points)
    expected = torch.zeros_like(found)
    expected[0, 0] = -F.layer_norm(fixed, (6,))  # a weight of -1 in the sum
    torch.testing.assert_close(found, expected)


def test_a_large_mean_leaves_precise_multipliers(points: tuple[Tensor, Tensor]) -> None:
    x, x0 = (point + 500 for point in points)
    found = multipliers(NORMALISED["plain"], x.float(), x0.float())
    torch.testing.assert_close(
        found.double(), multipliers(NORMALISED["plain"], x.float().double(), x0.float().double()), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_are_taken_in_more_bits_than_halves_have(points: tuple[Tensor, Tensor], dtype: torch.dtype) -> None:
    x, x0 = (300 * point.to(dtype) for point in points)  # whose squares no float16 holds
    x[:, 0], x0[:, 0] = 0, 0  # nor the product of two roots of epsilon
    exact = multipliers(NORMALISED["plain"], x.double(), x0.double())
    found = multipliers(NORMALISED["plain"], x, x0)
    assert found.dtype == dtype
    assert ((found - exact).norm(dim=-1) < 0.05 * exact.norm(dim=-1)).all()
