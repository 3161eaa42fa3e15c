"""DeepLift, and its mean over a distribution of baselines."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, TypeAlias

from torch import Tensor, nn

from lightning_explain.attribution import methods
from lightning_explain.captum.arguments import Baselines, Tensors
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr.attribution import FactorAttribution, answered
from lightning_explain.captum.distributions import Distribution, as_distribution
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError
from lightning_explain.captum.host import as_module
from lightning_explain.captum.selecting import Target
from lightning_explain.inputs import Point

Custom: TypeAlias = Callable[..., tuple[Tensor, ...]] | None


class DeepLift(FactorAttribution):
    """How much each element contributed to the difference of the output from that at the baseline.

    See :class:`lightning_explain.attribution.methods.DeepLift`.

    Args:
        model: A model.
        multiply_by_inputs: False leaves out the factor (input - baseline): the multipliers.
        eps: Where an operator's input differs by less, its gradient takes the place of the quotient.
    """

    def __init__(self, model: nn.Module, multiply_by_inputs: bool = True, eps: float = 1e-10) -> None:
        super().__init__(as_module(model), multiply_by_inputs)
        self.model, self.eps = model, eps

    def has_convergence_delta(self) -> bool:
        return True

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        return_convergence_delta: bool = False,
        custom_attribution_func: Custom = None,
    ) -> Ask:
        return Ask(
            methods.DeepLift(self._multiply_by_inputs, self.eps, _of_three(custom_attribution_func)),
            inputs,
            baselines,
            target,
            additional_forward_args,
            delta=return_convergence_delta,
        )


class DeepLiftShap(DeepLift):
    """The mean of DeepLift over a distribution of baselines.

    See :class:`lightning_explain.attribution.methods.DeepLiftShap`.

    Args:
        model: A model.
        multiply_by_inputs: False leaves out the factor (input - baseline): the mean multipliers.
    """

    def __init__(self, model: nn.Module, multiply_by_inputs: bool = True) -> None:
        super().__init__(model, multiply_by_inputs)

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Distribution,
        target: Target = None,
        additional_forward_args: object = None,
        return_convergence_delta: bool = False,
        custom_attribution_func: Custom = None,
    ) -> Ask:
        method = methods.DeepLiftShap(
            as_distribution(baselines, inputs, least=2),
            self._multiply_by_inputs,
            self.eps,
            _of_three(custom_attribution_func),
        )
        return Ask(
            method,
            inputs,
            target=target,
            additional_forward_args=additional_forward_args,
            delta=return_convergence_delta,
        )


def _of_three(custom: Custom) -> Callable[[Point, Point, Point], Any] | None:
    # Multipliers, inputs and baselines: a function may take fewer.
    if custom is None:
        return None
    if not callable(custom):
        raise ArgumentTypeError(f"custom_attribution_func is a function, got {type(custom).__name__}.")
    taken = len(signature(custom).parameters)
    if taken not in {1, 2, 3}:
        raise ArgumentError(
            "custom_attribution_func takes multipliers, inputs and baselines, or the first of these; this one takes"
            f" {taken} arguments."
        )
    return lambda *given: custom(*given[:taken])
