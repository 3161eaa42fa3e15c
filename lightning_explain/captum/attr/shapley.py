"""Shapley values."""

from __future__ import annotations

import torch

from lightning_explain.attribution import methods
from lightning_explain.captum.arguments import Baselines, Tensors
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.attr.attribution import PerturbationAttribution, answered
from lightning_explain.captum.attr.perturbations import in_future, rows_for
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.selecting import Target
from lightning_explain.captum.shaping import by_output


class ShapleyValueSampling(PerturbationAttribution):
    """The mean rise of the output when a feature joins others, over random orders.

    See :class:`lightning_explain.ShapleySampling`.
    """

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        feature_mask: Tensors | None = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Ask:
        if n_samples < 1:
            raise ArgumentError(f"n_samples must be at least 1, got {n_samples}.")
        return Ask(
            methods.ShapleySampling(n_samples, seed=torch.initial_seed()),
            inputs,
            baselines,
            target,
            additional_forward_args,
            feature_mask,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            progress=self.bar_title(show_progress),
            form=by_output,
        )

    attribute_future = in_future(attribute)


class ShapleyValues(ShapleyValueSampling):
    """The same over all orders, exactly, by a row for each coalition; see :class:`lightning_explain.ShapleyValues`."""

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        feature_mask: Tensors | None = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Ask:
        return Ask(
            methods.ShapleyValues(),
            inputs,
            baselines,
            target,
            additional_forward_args,
            feature_mask,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            progress=self.bar_title(show_progress),
            form=by_output,
        )

    attribute_future = PerturbationAttribution.attribute_future
