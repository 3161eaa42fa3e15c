"""DeepLift's multipliers: what an operator's inputs contributed to the difference of its output.

Every rule keeps summation to delta: multipliers times the differences of the inputs add up to the difference of the
output, for each sample by itself. A backward step is taken once, and may write to what it holds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules.normalization import layer_norm, of_input_alone
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pair import Multipliers, Pair
from lightning_explain.attribution.rules.products import middle, midpoint, quotient
from lightning_explain.attribution.rules.pullback import Pullback
from lightning_explain.attribution.rules.softmax import log_softmax, logsumexp, softmax


def rescale(pair: Pair) -> Pullback:
    """The quotient of differences, element by element; the gradient where there is no difference.

    Returns:
        The backward step.
    """
    x, x0 = _laid_out(pair)
    difference, multiplier = x - x0, x.abs()
    near = pair.near(difference, multiplier)  # which writes to it; fresh memory costs more than computing it again
    torch.sub(pair.out, pair.out0, out=multiplier).div_(torch.sub(x, x0, out=difference))
    if near is not None:
        multiplier[near] = _derivative(pair, x, x0, near)
    return lambda gradient: (multiplier.mul_(gradient).sum_to_size(pair.inputs[0].shape),)


def clamped(pair: Pair) -> Pullback:
    """The quotient of differences of what is its input between bounds, where they are equal to the last bit.

    Returns:
        The backward step.
    """
    if pair.out.dtype == torch.float16:  # in which neighbours differ by no more than what is tiny
        return rescale(pair)
    x, x0 = _laid_out(pair)
    # Without a mask: what is tiny counts only where there is no difference, and leaves the slope there.
    tiny = torch.finfo(pair.out.dtype).tiny
    multiplier = (pair.out - pair.out0).add_(_slope(pair, x), alpha=tiny).div_((x - x0).add_(tiny))
    return lambda gradient: (multiplier.mul_(gradient).sum_to_size(pair.inputs[0].shape),)


def rectifier(pair: Pair) -> Pullback:
    """The quotient of differences of a ReLU: of two open units one, of an open and a closed one y / (x - x0).

    Returns:
        The backward step.
    """
    (x,), (x0,) = pair.inputs, pair.inputs0
    # What is open by what is open or closed; in few passes, for this is most of what DeepLift adds to the gradient.
    multiplier = torch.maximum(pair.out, pair.out0)
    span = torch.minimum(x, x0).clamp_(max=0)
    torch.sub(multiplier, span, out=span).clamp_(min=torch.finfo(x.dtype).tiny)
    multiplier.div_(span)
    return lambda gradient: (multiplier.mul_(gradient),)


def max_pool(pair: Pair) -> Pullback:
    """All of a window's difference to where its larger maximum is, at the samples or at the reference.

    There the input differs at least as much as the maximum does, so that no multiplier exceeds one.

    Returns:
        The backward step.
    """
    (x,), (x0,) = pair.inputs, pair.inputs0
    dims = 3 if "3d" in pair.now.name else 2 if "2d" in pair.now.name else 1
    pool = getattr(F, f"{pair.now.name}_with_indices")
    found = [_indices(pool, call) for call in (pair.now, pair.then)]
    return _to_winner(pair, x, x0, [indices.flatten(-dims) for indices in found], dims)


def maximum_along(pair: Pair) -> Pullback:
    """As a window of max-pooling: the largest (or least) along a dimension, or of all.

    Returns:
        The backward step.
    """
    (x,), (x0,) = pair.inputs, pair.inputs0
    least = "min" in pair.now.name
    dim = pair.now.argument(1, "dim")
    if dim is None:
        lines, lines0 = x.reshape(1, -1), x0.reshape(1, -1)
    else:
        (dim,) = dim if isinstance(dim, (tuple, list)) else (dim,)
        lines, lines0 = x.movedim(dim, -1), x0.movedim(dim, -1)
    winners = [(rows.argmin if least else rows.argmax)(dim=-1, keepdim=True) for rows in (lines, lines0)]
    backward = _to_winner(pair, lines, lines0, winners, 1)

    def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
        (to_lines,) = backward(gradient.reshape(winners[0].shape))
        return (to_lines.reshape(x.shape) if dim is None else to_lines.movedim(-1, dim),)

    return pullback


def _to_winner(pair: Pair, x: Tensor, x0: Tensor, winners: list[Tensor], dims: int) -> Pullback:
    flat, flat0 = x.flatten(-dims), x0.flatten(-dims)
    out, out0 = pair.out.reshape(winners[0].shape), pair.out0.reshape(winners[0].shape)
    ours = out <= out0 if "min" in pair.now.name else out >= out0
    winner: Tensor = torch.where(ours, winners[0], winners[1])
    difference = flat.gather(-1, winner) - flat0.gather(-1, winner)
    multiplier = (out - out0).div_(difference)
    if (near := pair.near(difference, out.abs())) is not None:
        multiplier[near] = 1

    def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
        share = gradient.reshape(winner.shape) * multiplier
        return (torch.zeros_like(flat).scatter_add_(-1, winner, share).reshape(x.shape),)

    return pullback


def _indices(pool: Callable[..., tuple[Tensor, Tensor]], call: Call) -> Tensor:
    kwargs = {name: value for name, value in call.kwargs.items() if name != "return_indices"}
    return pool(*call.args, **kwargs)[1]


def _laid_out(pair: Pair) -> tuple[Tensor, Tensor]:
    # The argument and its reference, an element for each of the output: exponents, say, may be more than it has.
    (x,), (x0,) = pair.inputs, pair.inputs0
    return x.to(pair.out.dtype).expand_as(pair.out), x0.to(pair.out.dtype).expand_as(pair.out)


def _derivative(pair: Pair, x: Tensor, x0: Tensor, near: tuple[Tensor, ...]) -> Tensor:
    # Half-way, at a few elements; alone, unless they do not stand for themselves: a slope for each channel, say.
    if pair.now.tensors > 1:
        return _slope(pair, middle(x, x0))[near]
    return _slope(pair, middle(x[near], x0[near]))


def _slope(pair: Pair, x: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        out = pair.now.replaced(pair.positions, [leaf]).run()
        (slope,) = torch.autograd.grad(out, leaf, torch.ones_like(out))
    # Infinite is that of a root at zero, where there is no difference to hand down.
    return slope.nan_to_num(nan=torch.nan, posinf=0, neginf=0)


def _along_one_dimension(call: Call) -> bool:
    dim = call.argument(1, "dim")
    return not isinstance(dim, (tuple, list)) or len(dim) == 1


ELEMENTWISE = Multipliers(rescale)
CLAMPED = Multipliers(clamped)
PRODUCT = Multipliers(midpoint, linear=lambda call: len(call.positions) == 1, fits=lambda _: True)
QUOTIENT = Multipliers(quotient, linear=lambda call: call.positions == (0,), fits=lambda _: True)
RANDOM = Multipliers(
    rescale, fits=lambda call: len(call.positions) == 1 and not call.argument(3, "training", default=False)
)
POOL = Multipliers(max_pool)
ALONG = Multipliers(maximum_along, fits=_along_one_dimension)

FUNCTIONS = """
    leaky_relu prelu elu selu celu gelu silu mish sigmoid expit hardsigmoid hardswish tanh softplus logsigmoid softsign
    hardshrink softshrink threshold abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square pow rpow reciprocal
    erf erfc sin cos tan sinh cosh atan arctan asin acos sinc logit sign sgn
"""
PRODUCTS = """
    mul matmul bmm mm mv dot inner outer ger einsum bilinear addmm addmv addbmm baddbmm addcmul tensordot
    linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
"""
POOLS = "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"
EXTREMES = "max amax min amin"

MULTIPLIERS: dict[str, Multipliers] = {
    "relu": Multipliers(rectifier),
    **dict.fromkeys(FUNCTIONS.split(), ELEMENTWISE),
    **dict.fromkeys(("relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"), CLAMPED),
    **dict.fromkeys(PRODUCTS.split(), PRODUCT),
    "rrelu": RANDOM,
    "div": QUOTIENT,
    "layer_norm": Multipliers(layer_norm, fits=of_input_alone),
    "softmax": Multipliers(softmax),
    "log_softmax": Multipliers(log_softmax),
    "logsumexp": Multipliers(logsumexp, fits=_along_one_dimension),
    **dict.fromkeys(POOLS.split(), POOL),
    **dict.fromkeys(EXTREMES.split(), ALONG),
}
"""Operator name -> rule. ``MULTIPLIERS["my_operator"] = ELEMENTWISE`` adds one."""
