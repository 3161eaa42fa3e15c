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
    "DeepLiftShap.baselines": "The distribution of baselines: a tensor (K, ...) for each input, K being more than one,"
    " or a function of the inputs (or of nothing) that gives it.",
    "GradientShap.baselines": "The distribution of baselines: a tensor (K, ...) for each input, or a function of the"
    " inputs (or of nothing) that gives it.",
    "custom_attribution_func": "What attributions are made of: a function of the multipliers and, if it takes them, the"
    " inputs and the baselines; tuples of tensors, for any number of samples.",
    "GradientShap.n_samples": "How many points are drawn for each sample.",
    "stdevs": "The standard deviation of Gaussian noise that is added to the inputs, in their own units: a number, or"
    " one for each input.",
    "interpolate_mode": "How the map is interpolated to the inputs, as torch.nn.functional.interpolate calls it.",
    "verbose": "Whether to print which rule is applied to which layer.",
    "nt_type": "smoothgrad (the mean of attributions of noisy inputs), smoothgrad_sq (of their squares) or vargrad"
    " (their variance).",
    "nt_samples": "Noisy copies of each sample.",
    "nt_samples_batch_size": "How many copies of all samples go through the model at once, at most; None: chosen by"
    " measurement.",
    "draw_baseline_from_distrib": "Whether baselines are a distribution, one of which is drawn for each noisy copy.",
    "attribute_to_layer_input": "Whether the layer's input is meant, not its output.",
}
"""Parameter -> description; "Class.parameter" where it means something else to a class."""


def documented(method: Callable[..., Any]) -> str:
    """The docstring of a method ``attribute``.

    Returns:
        A summary, and the parameters that it has.

    Raises:
        KeyError: If a parameter is not described.
    """
    names = [name for name in signature(method).parameters if name not in {"self", "kwargs", "args"}]
    owner = method.__qualname__.split(".")[0]
    listed = "\n".join(f"    {name}: {PARAMETERS.get(f'{owner}.{name}') or PARAMETERS[name]}" for name in names)
    return f"Explain what the model gives.\n\nArgs:\n{listed}\n\nReturns:\n    Attributions, detached."
