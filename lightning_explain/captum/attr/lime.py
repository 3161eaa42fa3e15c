"""LIME and kernel SHAP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_explain.attribution import methods
from lightning_explain.attribution.methods import Method
from lightning_explain.captum.arguments import Baselines, Tensors, as_inputs, shaped_like
from lightning_explain.captum.ask import Answer, Ask, Form
from lightning_explain.captum.attr.attribution import PerturbationAttribution, answered
from lightning_explain.captum.attr.lime_base import LimeBase as LimeBase
from lightning_explain.captum.attr.perturbations import rows_for
from lightning_explain.captum.attr.similarity import ExponentialKernel
from lightning_explain.captum.attr.similarity import (
    get_exp_kernel_similarity_function as get_exp_kernel_similarity_function,
)
from lightning_explain.captum.attr.surrogate import ALPHA, InterpretableModel, Surrogate, features_by_id
from lightning_explain.captum.selecting import Target
from lightning_explain.captum.shaping import fractional


class Lime(LimeBase):
    """Coefficients of a linear model of the output in the presence of features; see :class:`lightning_explain.Lime`.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
        interpretable_model: As in :class:`LimeBase`; None: the lasso of strength 0.01.
        similarity_func: As in :class:`LimeBase`; None: the exponential kernel of the cosine distance, of width 1.
        perturb_func: ``(inputs, **kwargs) -> presence of the features (1, F)``, or a generator of these; None: every
            feature with probability 1/2, or all coalitions where there are no more than ``n_samples``.
    """

    interpretable_model: InterpretableModel | None  # type: ignore[assignment]
    perturb_func: Callable[..., Any] | None  # type: ignore[assignment]

    def __init__(
        self,
        forward_func: Callable[..., Any],
        interpretable_model: InterpretableModel | None = None,
        similarity_func: Callable[..., Any] | None = None,
        perturb_func: Callable[..., Any] | None = None,
    ) -> None:
        PerturbationAttribution.__init__(self, forward_func)
        self.interpretable_model = interpretable_model
        self.similarity_func = similarity_func or ExponentialKernel()
        self.perturb_func = perturb_func

    @answered
    def attribute(  # noqa: PLR0913  (Captum's signature)
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        feature_mask: Tensors | None = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Ask:
        method = self._method(n_samples, isinstance(inputs, tuple))
        return Ask(
            method,
            inputs,
            baselines,
            target,
            additional_forward_args,
            feature_mask,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            batched=replace(method, per_batch=True) if isinstance(method, Surrogate) else None,
            one_output=True,
            progress=self.bar_title(show_progress),
            form=form_of(return_input_shape),
        )

    def _method(self, n_samples: int, tupled: bool) -> Method:
        kernel, seed = self.similarity_func, torch.initial_seed()
        lasso = methods.Lime(max(n_samples, 2), alpha=ALPHA, seed=seed, relative=False)
        if self.perturb_func is None and isinstance(kernel, ExponentialKernel) and self.interpretable_model is None:
            return replace(lasso, distance=kernel.distance_mode, kernel_width=kernel.kernel_width)
        return Surrogate(self.interpretable_model, kernel, self.perturb_func, n_samples, seed=seed, tupled=tupled)


class KernelShap(Lime):
    """Shapley values as a least squares fit; see :class:`lightning_explain.KernelShap`.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
    """

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        super().__init__(forward_func)

    @answered
    def attribute(  # noqa: PLR0913  (Captum's signature)
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        feature_mask: Tensors | None = None,
        n_samples: int = 25,
        perturbations_per_eval: int = 1,
        return_input_shape: bool = True,
        show_progress: bool = False,
    ) -> Ask:
        return Ask(
            methods.KernelShap(max(n_samples, 4), seed=torch.initial_seed()),
            inputs,
            baselines,
            target,
            additional_forward_args,
            feature_mask,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            one_output=True,
            progress=self.bar_title(show_progress),
            form=form_of(return_input_shape),
        )


def form_of(return_input_shape: bool) -> Form:
    """What is returned: attributions like the inputs, or coefficients.

    Returns:
        The function that makes it.
    """
    return _like_inputs if return_input_shape else _coefficients


def _like_inputs(found: Answer) -> Tensors:
    point = found.point
    if found.per_batch:
        first = as_inputs(found.ask.inputs)[0]
        several = first.ndim > 0 and len(first) > 1
        point = tuple(leaf[0, :1] if several and leaf.ndim > 1 else leaf[0] for leaf in point)
    return shaped_like(found.ask.inputs, fractional(found, point))


def _coefficients(found: Answer) -> Tensor:
    return fractional(found, (features_by_id(found.problem).collect(found.point),))[0]
