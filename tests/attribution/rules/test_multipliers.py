"""DeepLift's rules: each keeps summation to delta, for each sample by itself."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules.multipliers import MULTIPLIERS
from lightning_explain.attribution.rules.rescale import Rescale

FUNCTIONAL = "elu selu celu gelu silu mish hardsigmoid hardswish softplus logsigmoid softsign hardshrink softshrink"
OF_TORCH = "sigmoid tanh abs exp exp2 expm1 square erf erfc sin cos tan sinh cosh atan arctan sign sgn sinc"


def shifted(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x + 9)


def shrunk(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x / 9)


ELEMENTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": lambda x: F.relu6(4 * x),
    "rrelu": F.rrelu,
    "hardtanh": F.hardtanh,
    "leaky_relu": F.leaky_relu,
    "prelu": lambda x: F.prelu(x, torch.linspace(-0.5, 2, 4, dtype=torch.float64)),
    "threshold": lambda x: F.threshold(x, 0.5, -1.0),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "clamp_min": lambda x: x.clamp_min(0.1),
    "clamp_max": lambda x: x.clamp_max(0.1),
    "pow": lambda x: x**3,
    "rpow": lambda x: 2**x,
    "reciprocal": lambda x: (x + 9).reciprocal(),
    **{name: getattr(F, name) for name in FUNCTIONAL.split()},
    **{name: getattr(torch, name) for name in OF_TORCH.split()},
    "expit": torch.special.expit,
    **{name: shifted(getattr(torch, name)) for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt")},
    **{name: shrunk(getattr(torch, name)) for name in ("asin", "acos")},
    "logit": lambda x: torch.logit(x / 18 + 0.5),
}
MASK = torch.tensor([[True, True, False, True]])
OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda x: x.softmax(dim=1),
    "softmax, far apart": lambda x: (500 * x).softmax(dim=1),
    "softmax, masked": lambda x: x.masked_fill(~MASK, -math.inf).softmax(dim=-1),
    "log_softmax": lambda x: F.log_softmax(3 * x, dim=1),
    "logsumexp": lambda x: x.logsumexp(dim=1),
    "layer_norm": lambda x: F.layer_norm(3 * x + 2, (4,), torch.arange(4).double(), torch.ones(4).double(), 0.1),
    "logsumexp, kept": lambda x: torch.logsumexp(x, 1, keepdim=True),
    "max": lambda x: x.max(dim=1).values,
    "max, kept": lambda x: torch.max(x, 1, keepdim=True)[0],
    "min": lambda x: x.min(dim=1)[0],
    "amax": lambda x: x.amax(dim=(1,), keepdim=True),
    "amin": lambda x: x.view(-1, 2, 2).amin(2),
    "max_pool1d": lambda x: F.max_pool1d(x[:, None], 2, 1),
    "max_pool2d": lambda x: F.max_pool2d(x.view(-1, 1, 2, 2), 2, 1, 1),
    "max_pool2d, indices": lambda x: F.max_pool2d(x.view(-1, 1, 2, 2), 2, return_indices=True)[0],
    "max_pool3d": lambda x: F.max_pool3d(x.view(-1, 1, 1, 2, 2), (1, 2, 2)),
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x[:, None], 3),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x.view(-1, 1, 2, 2), 1),
    "adaptive_max_pool3d": lambda x: F.adaptive_max_pool3d(x.view(-1, 1, 1, 2, 2), 1),
}
A, B = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
OF_TWO: dict[str, Callable[[Tensor], Tensor]] = {
    "mul": lambda x: x * x.flip(1),
    "mul, with itself": lambda x: x * x,
    "mul, broadcast": lambda x: x[:, :, None] * x[:, None, :2],
    "div": lambda x: x / (x.flip(1) + 9),
    "div, of a number": lambda x: 3 / (x + 9),
    "div, broadcast": lambda x: x / (x[:, :1] + 9),
    "matmul": lambda x: x.view(-1, 2, 2) @ x.view(-1, 2, 2),
    "bmm": lambda x: torch.bmm(x.view(-1, 2, 2), x.view(-1, 2, 2).mT),
    "einsum": lambda x: torch.einsum("ni,nj->nij", x, x),
    "baddbmm": lambda x: torch.baddbmm(x.view(-1, 2, 2), x.view(-1, 2, 2), x.view(-1, 2, 2), beta=2, alpha=3),
    "addcmul": lambda x: torch.addcmul(x, x, x.flip(1), value=0.5),
    "bilinear": lambda x: F.bilinear(x, x, torch.ones(2, 4, 4, dtype=torch.float64).tril()),
    "linear": lambda x: torch.cat([F.linear(row.view(2, 2), row.view(2, 2)).view(1, 4) for row in x]),
    "conv1d": lambda x: torch.cat([F.conv1d(row.view(1, 1, 4), row[:2].view(1, 1, 2)) for row in x]),
}
WHOLE = ("mm", "mv", "dot", "inner", "outer", "ger", "addmm", "addmv", "addbmm", "tensordot", "conv2d", "conv3d")
"""Products of another shape, by the same rule as those above."""
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")


@pytest.fixture
def points() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, x0 = torch.randn(2, 6, 4, dtype=torch.float64, generator=generator)
    x0[1, :3] = x[1, :3]  # no difference
    x0[2] = x[2] + 1e-12
    x[3, 0], x0[4, 1] = 0, 0
    return x, x0


def multiplied(operator: Callable[[Tensor], Tensor], x: Tensor, x0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The output, that at the reference, and the contribution of each input to each sample's weighted output."""
    leaf = x.clone().requires_grad_()
    mode = Rescale(1e-10)
    out, out0 = mode.paired(lambda: operator(leaf), lambda _: operator(x0.clone()))
    weights = torch.linspace(1, 2, out[0].numel(), dtype=x.dtype).view_as(out[:1])
    (multipliers,) = torch.autograd.grad((out * weights).sum(), leaf)
    difference = ((out - out0) * weights).detach().reshape(len(x), -1).sum(dim=1)
    return multipliers, (multipliers * (x - x0)).sum(dim=1), difference


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_ONE, *OF_TWO])
def test_contributions_sum_to_the_difference_of_each_sample(name: str, points: tuple[Tensor, Tensor]) -> None:
    operator = (ELEMENTWISE | OF_ONE | OF_TWO)[name]
    multipliers, total, difference = multiplied(operator, *points)
    assert torch.isfinite(multipliers).all()
    torch.testing.assert_close(total, difference, rtol=1e-10, atol=1e-11)
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_ONE, *OF_TWO])
def test_without_a_difference_the_multiplier_is_the_gradient(name: str) -> None:
    if name in {"sign", "sgn"}:
        return
    operator = (ELEMENTWISE | OF_ONE | OF_TWO)[name]
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    multipliers, _, _ = multiplied(operator, x, x)
    leaf = x.clone().requires_grad_()
    out = operator(leaf)
    weights = torch.linspace(1, 2, out[0].numel(), dtype=x.dtype).view_as(out[:1])
    torch.testing.assert_close(multipliers, torch.autograd.grad((out * weights).sum(), leaf)[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_ONE, *OF_TWO])
def test_a_sample_does_not_depend_on_its_neighbors(name: str, points: tuple[Tensor, Tensor]) -> None:
    operator = (ELEMENTWISE | OF_ONE | OF_TWO)[name]
    x, x0 = points
    together, _, _ = multiplied(operator, x, x0)
    alone, _, _ = multiplied(operator, x[4:5], x0[4:5])
    torch.testing.assert_close(together[4:5], alone, rtol=1e-12, atol=1e-13)


def test_every_rule_has_an_example() -> None:
    examples = {name.split(",")[0] for name in (*ELEMENTWISE, *OF_ONE, *OF_TWO)}
    assert examples | {*WHOLE, *TRANSPOSED} == set(MULTIPLIERS)
    assert {MULTIPLIERS[name] for name in (*WHOLE, *TRANSPOSED)} == {MULTIPLIERS["matmul"]}


def test_rescale_by_hand() -> None:
    x, x0 = torch.tensor([[3.0, -2.0, 1.0, 5.0]]), torch.tensor([[-1.0, -1.0, 2.0, 9.0]])
    assert multiplied(F.relu, x, x0)[0].mul(1 / torch.linspace(1, 2, 4)).tolist() == [[0.75, 0.0, 1.0, 1.0]]
    found = multiplied(F.relu6, x, x0)[0].mul(1 / torch.linspace(1, 2, 4))
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.0, 1.0, (5 - 6) / (5 - 9)]]))


def test_products_share_alike() -> None:
    a, b, a0, b0 = 2.0, 5.0, 1.0, -1.0
    x, x0 = torch.tensor([[a, b]]), torch.tensor([[a0, b0]])
    multipliers, _, _ = multiplied(lambda x: x[:, :1] * x[:, 1:], x, x0)
    assert multipliers.tolist() == [[(b + b0) / 2, (a + a0) / 2]]


def test_max_pool_gives_all_to_the_larger_maximum() -> None:
    x, x0 = torch.tensor([[1.0, 4.0, 2.0, 0.0]]), torch.tensor([[3.0, 1.0, 0.0, 2.0]])
    multipliers, _, _ = multiplied(lambda x: x.amax(dim=1, keepdim=True), x, x0)
    assert multipliers.tolist() == [[0.0, pytest.approx((4 - 3) / (4 - 1)), 0.0, 0.0]]
    multipliers, _, _ = multiplied(lambda x: x.amax(dim=1, keepdim=True), x0, x)
    assert multipliers.tolist() == [[0.0, pytest.approx((3 - 4) / (1 - 4)), 0.0, 0.0]]


def test_softmax_against_its_definition() -> None:
    """exp, sum and quotient each by itself, which is exact where nothing overflows."""
    x, x0 = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = multiplied(lambda x: x.softmax(dim=1).log(), x, x0)[0]
    expected = multiplied(lambda x: x - x.exp().sum(dim=1, keepdim=True).log(), x, x0)[0]
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Implicit dimension")
@pytest.mark.parametrize("function", [F.softmax, F.log_softmax, F.softmin])
@pytest.mark.parametrize(("shape", "dim"), [((6, 4), 1), ((6, 2, 2), 0), ((6, 2, 2, 1), 1)])
def test_softmax_that_is_told_no_dimension(
    function: Callable[..., Tensor], shape: tuple[int, ...], dim: int, points: tuple[Tensor, Tensor]
) -> None:
    x, x0 = (point.view(shape) for point in points)
    assert torch.equal(multiplied(function, x, x0)[0], multiplied(lambda x: function(x, dim=dim), x, x0)[0])


@pytest.mark.parametrize("function", ["softmax", "log_softmax", "logsumexp"])
def test_large_logits_that_rise_alike_leave_precise_multipliers(function: str) -> None:
    # In float32, ulp(5e4) is 0.004: what is lost in a difference of log sum exp x must not come back as a share.
    x0 = torch.randn(3, 6, dtype=torch.float64)
    x = (x0 + 5e4 + torch.randn(3, 6)).float()
    x0 = x0.float()
    apply = getattr(torch, function)
    found = multiplied(lambda v: apply(v, 1), x, x0)[0]
    expected = multiplied(lambda v: apply(v, 1), x.double(), x0.double())[0]
    torch.testing.assert_close(found.double(), expected, rtol=2e-5, atol=2e-6)


def test_between_bounds_the_multiplier_of_no_difference_is_the_slope() -> None:
    x = torch.tensor([[-1.0, 0.0, 3.0, 3.0, 7.0, 6.0, 7.0, 1e-30]], requires_grad=True)
    x0 = torch.tensor([[-1.0, 0.0, 3.0, 3.0 + 2e-7, 7.0, 6.0, 5.0, -1e-30]])
    score, _ = Rescale(1e-10).paired(lambda: F.relu6(x), lambda _: F.relu6(x0))
    (found,) = torch.autograd.grad(score.sum(), x)
    torch.testing.assert_close(found, torch.tensor([[0, 0, 1, 1, 0, 0, 0.5, 0.5]]))


@pytest.mark.parametrize("name", ["pow", "rpow", "clamp", "clamp_min"])
def test_an_argument_with_fewer_elements_than_the_output_has_a_multiplier_for_each(name: str) -> None:
    other = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    operator: Callable[[Tensor], Tensor] = {
        "pow": lambda x: torch.pow(x, other),
        "rpow": lambda x: other**x,
        "clamp": lambda x: torch.clamp(x, min=other - 1.5, max=other),
        "clamp_min": lambda x: torch.clamp_min(x, other - 1.5),
    }[name]
    x, x0 = (torch.tensor(rows, dtype=torch.float64)[:, None] for rows in ([2.0, 1.0], [1.0, 1.0]))
    multipliers, total, difference = multiplied(operator, x, x0)
    torch.testing.assert_close(total, difference)
    leaf, weights = x[1:].clone().requires_grad_(), torch.linspace(1, 2, 3, dtype=torch.float64)
    (slope,) = torch.autograd.grad((operator(leaf) * weights).sum(), leaf)
    torch.testing.assert_close(multipliers[1:], slope)


def test_between_bounds_neighbours_of_few_bits_are_told_apart() -> None:
    x = torch.tensor([[0.1, 0.1, 0.5]], dtype=torch.float16)
    x0 = x + torch.tensor([2.0**-14, -(2.0**-14), 0], dtype=torch.float16)  # one unit in the last place
    multipliers, _, _ = multiplied(F.relu6, x, x0)
    assert multipliers.tolist() == [[1, 1.5, 2]]  # the weights
