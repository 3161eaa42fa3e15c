"""What the parameters of ``attribute`` are: said once for all classes."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Signature, signature
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
    "attribute_to_neuron_input": "Whether the neuron is in the layer's input, not in its output.",
    "neuron_selector": "The neuron: an integer; a tuple of integers and slices, what these select being summed; or a"
    " function of what goes through the layer (a tuple, where several tensors do) that gives a number for each sample.",
    "grad_kwargs": "{'materialize_grads': True} or {'allow_unused': True} make the gradient zero where the output does"
    " not depend on the layer; other keys play no part.",
    "layer_baselines": "What takes the place of what is taken out of the layer: None (zeros), a number, a tensor like"
    " the layer's, or one of these for each of its tensors.",
    "layer_mask": "Which elements of the layer are perturbed as one: integers that broadcast against its tensor, or one"
    " such tensor for each.",
    "relu_attributions": "Whether negative attributions become zero.",
    "attr_dim_summation": "Whether channels are summed, so that one is left.",
}
"""Parameter -> description; "Class.parameter" where it means something else to a class."""


CONSTRUCTOR = {
    "forward_func": "A model, or any function of the inputs and the additional arguments.",
    "model": "A model.",
    "layer": "The layer, a module; where attributions are about layers, or a list of them.",
    "device_ids": "Accepted and not needed: a layer runs where it is.",
    "multiply_by_inputs": "Whether attributions are shares of what is explained; otherwise they are sensitivities.",
    "memory_efficient": "Accepted and not needed: rows go through the model in chunks that fit.",
}
"""Parameter of a constructor -> description."""


def documented_class(summary: str, constructor: Signature) -> str:
    """The docstring of a class that is made of another.

    Returns:
        The summary, and what the constructor takes.

    Raises:
        KeyError: If a parameter is not described.
    """
    listed = "\n".join(f"    {name}: {CONSTRUCTOR[name]}" for name in constructor.parameters if name != "self")
    return f"{summary}\n\nArgs:\n{listed}"


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
