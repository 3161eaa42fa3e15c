"""GradientSHAP."""

from __future__ import annotations

import torch

from lightning_explain.attribution import methods
from lightning_explain.captum.arguments import Tensors
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr.attribution import FactorAttribution, answered
from lightning_explain.captum.distributions import Distribution, as_deviation, as_distribution
from lightning_explain.captum.selecting import Target


class GradientShap(FactorAttribution):
    """The gradient at random points between random baselines and the noisy inputs, times their difference.

    See :class:`lightning_explain.attribution.methods.GradientShap`. The draws follow from ``torch.initial_seed()``, and
    move no random state.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
        multiply_by_inputs: False leaves out the factor (input - baseline): the expected gradient.
    """

    def has_convergence_delta(self) -> bool:
        return True

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Distribution,
        n_samples: int = 5,
        stdevs: float | tuple[float, ...] = 0.0,
        target: Target = None,
        additional_forward_args: object = None,
        return_convergence_delta: bool = False,
    ) -> Ask:
        method = methods.GradientShap(
            n_samples,
            as_deviation(stdevs, inputs),
            as_distribution(baselines, inputs),
            self._multiply_by_inputs,
            torch.initial_seed(),
            "absolute",
        )
        return Ask(
            method,
            inputs,
            target=target,
            additional_forward_args=additional_forward_args,
            between=True,
            delta=return_convergence_delta,
        )
