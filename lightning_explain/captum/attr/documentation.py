"""What the parameters of ``attribute`` are: said once for all classes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

PARAMETERS = {
    "inputs": "A tensor (n, ...), or a tuple of tensors.",
    "baselines": "What stands for nothing: None (zeros), a number, a tensor of the input's shape or with one sample; or"
    " one of these for each input.",
    "target": "Which output is explained: an index or a tuple of indices for all samples alike, a list or a tensor of"
    " one for each, a list of tuples; None where the model gives one number.",
    "additional_forward_args": "What the forward function is given after the inputs; tensors of n rows go with the"
    " samples.",
    "abs": "Whether attributions lose their sign.",
    "n_steps": "Points on the line from the baseline.",
    "method": "The quadrature: gausslegendre, riemann_left, riemann_right, riemann_middle or riemann_trapezoid.",
    "internal_batch_size": "The most rows that go through the model at once; None: chosen by measurement.",
    "return_convergence_delta": "Whether to return (attributions, delta), delta being how far they are from adding up.",
    "feature_mask": "Integers, equal where elements are one feature, which broadcast against the inputs; None: each"
    " element is one.",
    "sliding_window_shapes": "The window's size in each dimension after the first, or one for each input.",
    "strides": "How far it moves: an integer, one for each dimension, or one of these for each input; None: 1.",
    "perturbations_per_eval": "The most perturbations of the batch that go through the model at once; 1: chosen by"
    " measurement.",
    "n_samples": "How often is sampled.",
    "return_input_shape": "Whether attributions have the inputs' shape; otherwise they are one row of coefficients of"
    " the features.",
    "show_progress": "Whether a bar on standard error shows how far it is.",
    "attribute_to_layer_input": "Whether the layer's input is meant, not its output.",
}
"""Parameter -> description; classes that have others say so beside their own."""


def documented(method: Callable[..., Any]) -> str:
    """The docstring of a method ``attribute``.

    Returns:
        A summary, and the parameters that it has.

    Raises:
        KeyError: If a parameter is not described.
    """
    names = [name for name in signature(method).parameters if name not in {"self", "kwargs", "args"}]
    listed = "\n".join(f"    {name}: {PARAMETERS[name]}" for name in names)
    return f"Explain what the model gives.\n\nArgs:\n{listed}\n\nReturns:\n    Attributions, detached."
