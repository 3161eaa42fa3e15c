"""Layer-wise relevance propagation as a modified gradient."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from lightning_explain.attribution.folding import scale_and_shift
from lightning_explain.attribution.rules.affine import CONVOLUTIONS, TRANSPOSED, Affine, affine, channelwise
from lightning_explain.attribution.rules.composites import Composite
from lightning_explain.attribution.rules.flows import activation as activation
from lightning_explain.attribution.rules.flows import constant, halves, softmax, to_first
from lightning_explain.attribution.rules.mode import OperatorMode
from lightning_explain.attribution.rules.modules import Meant, Running, named_for
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pullback import pulled
from lightning_explain.attribution.rules.relevance import Epsilon, Rule, is_variable
from lightning_explain.attribution.rules.sums import addmm

Step: TypeAlias = Callable[["Relevance", Call], Any]
"""(mode, call) -> the operator's result, whose graph is the rule."""


@dataclass(frozen=True, eq=False)
class _Record:
    """An affine operator that ran, for a BatchNorm behind it to be merged with."""

    op: Affine
    rule: Rule
    raw: Tensor | None
    version: int


class Relevance(OperatorMode[Step]):
    """Gives operators a backward step such that value times gradient is relevance.

    Then what is linear without a bias conserves relevance with its plain gradient: additions, which are split in
    proportion, pooling, reshaping. What is not has a step in the table.

    Args:
        composite: Chooses the rules of affine operators.
        layers: Rules for modules by pattern of name, by type or by themselves, before the composite.
        stack: The modules that are running.
        through_softmax: Whether relevance goes through softmax, or what it weights keeps all.
    """

    def __init__(
        self,
        composite: Composite,
        layers: tuple[tuple[Meant, Rule], ...],
        stack: Running,
        *,
        through_softmax: bool = True,
    ) -> None:
        super().__init__("lrp", STEPS)
        self.composite, self.layers, self.stack, self.through_softmax = composite, layers, stack, through_softmax
        self._records: dict[int, tuple[weakref.ref[Tensor], _Record]] = {}
        self._layer_runs = 0

    def begin(self) -> None:
        """Get ready for a forward pass."""
        self.forget()
        self._records.clear()
        self._layer_runs = 0

    def apply(self, rule: Step, call: Call) -> Any:  # noqa: ANN401
        """Do an operator by its step.

        Returns:
            What the operator returns.
        """
        return rule(self, call)

    def concerns(self, call: Call) -> bool:
        """Whether the operator depends on the variable; counts the layers.

        Returns:
            True if it does.
        """
        self._layer_runs += call.name in LAYERS
        return super().concerns(call)

    @property
    def named(self) -> Rule | None:
        """The rule that is named for the module that is running."""
        return named_for(self.layers, *self.stack[-1]) if self.stack else None

    def choose(self, op: Affine) -> Rule:
        """The rule of an affine operator: by its module, or by the composite.

        Returns:
            The rule.

        Raises:
            ValueError: If a rule for the variable itself was named for a layer behind it.
        """
        at_variable, rule = is_variable(op.x), self.named
        if rule is not None:
            if rule.at_variable_only and not at_variable:
                raise ValueError(
                    f"The rule {type(rule).__name__} is for a layer that reads the variable itself, and the input of"
                    f" {self.stack[-1][0]!r} has been computed from it. Use Epsilon, Gamma, ZPlus or AlphaBeta there."
                )
            return rule
        first = op.name in LAYERS and self._layer_runs == 1
        if first and not at_variable and self.composite.first is not None:
            self._warn_of_first(self.composite.first)
        return self.composite.rule(op, first=first and at_variable)

    def record(self, out: Tensor, op: Affine, rule: Rule, raw: Tensor | None) -> None:
        """Remember what an output was computed by, for as long as it lives."""
        key = id(out)
        reference = weakref.ref(out, lambda _: self._records.pop(key, None))
        self._records[key] = reference, _Record(op, rule, raw, out._version)  # noqa: SLF001  (how often written to)

    def recorded(self, tensor: Tensor) -> _Record | None:
        """What a tensor was computed by, if it is the untouched output of an affine operator.

        Returns:
            The record, or None.
        """
        reference, record = self._records.get(id(tensor), (None, None))
        known = reference is not None and reference() is tensor
        return record if known and record is not None and record.version == tensor._version else None  # noqa: SLF001

    def distributed(self, op: Affine, rule: Rule, out: Tensor) -> Tensor:
        """An affine operator's output, whose relevance goes to the input by a rule.

        Args:
            op: The operator.
            rule: The rule.
            out: The output, with its plain graph.

        Returns:
            A tensor that shares the storage of ``out``.
        """
        if type(rule) is Epsilon:
            return out if rule.epsilon == 0 else self._stabilized(rule, out)
        (x, value) = self.keep([op.x, out])

        def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                leaf = x.tensor.detach().requires_grad_()
                shares = rule.shares(replace(op, x=leaf), value.tensor)
            relevance = gradient * value.tensor
            tops = [_top(relevance, factor, rule.stabilized(share.detach())) for share, factor in shares]
            return torch.autograd.grad([share for share, _ in shares], leaf, tops)

        return pulled(out.detach(), pullback, op.x)

    def _stabilized(self, rule: Rule, out: Tensor) -> Tensor:
        # In the backward pass, which does not come here where a BatchNorm has taken over.
        (value,) = self.keep([out])

        def pullback(gradient: Tensor) -> tuple[Tensor, ...]:
            # gradient * value / stabilized(value), in few passes: this is most of what LRP adds to the gradient.
            size = value.tensor.abs().add_(rule.epsilon)
            return (torch.addcdiv(gradient, gradient, size, value=-rule.epsilon, out=size),)

        return pulled(out.detach(), pullback, out)

    def _warn_of_first(self, rule: Rule) -> None:
        if "first" not in self._warned:
            self._warned.add("first")
            warnings.warn(
                f"The first layer's rule {type(rule).__name__} is for a layer that reads the input itself, and the"
                " model changes its input before (a normalisation?): that layer follows the rule of its type.",
                stacklevel=2,
            )


def _top(relevance: Tensor, factor: Tensor | float, denominator: Tensor) -> Tensor:
    quotient = torch.div(relevance, denominator, out=denominator)
    return quotient if isinstance(factor, float) and factor == 1 else quotient.mul_(factor)


def affine_step(mode: Relevance, call: Call) -> Any:  # noqa: ANN401
    """An affine operator, by the rule that is chosen for it; a product of two variables by halves.

    Returns:
        Its output.
    """
    op = affine(call)
    if op is None:
        return halves(mode, call)
    rule = mode.choose(op)
    raw = call.run()
    out = mode.distributed(op, rule, raw)
    mode.record(out, op, rule, None if out is raw else raw)
    return out


def sum_and_product(mode: Relevance, call: Call) -> Any:  # noqa: ANN401
    """A product of matrices with a bias as an affine operator; else a sum, of which a product is one part.

    Returns:
        Its output.
    """
    if affine(call) is not None:
        return affine_step(mode, call)
    with mode:
        return addmm(*call.args, **call.kwargs)


def batch_norm(mode: Relevance, call: Call) -> Any:  # noqa: ANN401
    """With fixed statistics: one operator with the affine one in front of it, whose rule it follows.

    Where a rule is named for it, it is an operator of its own.

    Returns:
        Its output.
    """
    mean, variance = call.argument(1, "running_mean"), call.argument(2, "running_var")
    if mean is None or call.argument(5, "training", default=False):
        return call.run()
    weight, bias = call.argument(3, "weight"), call.argument(4, "bias")
    scale, shift = scale_and_shift(mean, variance, weight, bias, call.argument(7, "eps", default=1e-5))
    if (rule := mode.named) is not None:
        return mode.distributed(channelwise(call.args[0], scale, shift), rule, call.run())
    record = mode.recorded(call.args[0])
    merged = None if record is None else record.op.followed_by(scale, shift)
    if record is None or merged is None:
        return call.run()
    raw = call.args[0] if record.raw is None else record.raw
    out = Call(call.name, call.function, (raw, *call.args[1:]), call.kwargs).run()
    return mode.distributed(merged, record.rule, out)


LAYERS = frozenset(("linear", "addmm", *CONVOLUTIONS, *TRANSPOSED))
AFFINE = LAYERS | {"matmul", "mm"}
PRODUCTS = "mul bmm einsum bilinear mv dot inner outer tensordot"
ACTIVATIONS = """
    relu6 hardtanh elu selu celu gelu silu mish sigmoid expit hardsigmoid hardswish tanh softplus logsigmoid softsign
    hardshrink softshrink threshold clamp clamp_min clamp_max exp exp2 expm1 log1p sqrt square pow erf sin atan abs
"""
AS_THEY_ARE = """
    relu leaky_relu prelu rrelu log_softmax logsumexp max amax min amin max_pool1d max_pool2d max_pool3d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
"""
"""Operators whose gradient is the rule: value times gradient is conserved, or goes to the winner."""

STEPS: dict[str, Step] = {
    **dict.fromkeys(AFFINE, affine_step),
    "addmm": sum_and_product,
    **dict.fromkeys(PRODUCTS.split(), halves),
    "div": to_first,
    **dict.fromkeys(("rsqrt", "reciprocal"), constant),
    "batch_norm": batch_norm,
    "softmax": softmax,
    **dict.fromkeys(ACTIVATIONS.split(), activation),
    **dict.fromkeys(AS_THEY_ARE.split(), lambda _, call: call.run()),
}
"""Operator name -> step. ``STEPS["my_activation"] = activation`` adds one."""
