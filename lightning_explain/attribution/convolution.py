"""The last convolution of a model, where class activation maps are made unless a layer is named."""

from __future__ import annotations

import torch
from torch import nn

from lightning_explain.attribution.interception import named_layers
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import leaves, rebuild

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def last_convolution(problem: Problem) -> str:
    """The last convolution that runs in the model's forward pass.

    Returns:
        Its dotted name.

    Raises:
        ValueError: If the model runs none.
    """
    reached: list[str] = []
    layers = named_layers(problem.model)
    handles = [
        layer.register_forward_hook(lambda *_, name=name: reached.append(name))
        for name, layer in layers.items()
        if isinstance(layer, CONVOLUTIONS)
    ]
    # A copy, for the model may work in place on its inputs.
    one = rebuild(problem.inputs, tuple(leaf[:1].clone() for leaf in leaves(problem.inputs)))
    try:
        with torch.no_grad():
            problem.forward(problem.model, one)
    finally:
        for handle in handles:
            handle.remove()
    if not reached:
        raise ValueError(
            "Grad-CAM needs a layer with positions, and the model runs no convolution; name a layer,"
            f" 'grad_cam@<layer>'. Known: {', '.join(layers)}."
        )
    return reached[-1]
