"""Reading and replacing what goes through a layer, by hooks that are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lightning_explain.attribution.tree import map_tensors
from lightning_explain.inputs import Inputs, Point, leaves
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer, Side
    from lightning_explain.attribution.problem import Problem


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules of ``model`` by the name that users know, also where parts are compiled.

    Returns:
        Module by dotted name; the model itself is left out.
    """
    return {
        ".".join(part for part in name.split(".") if part != "_orig_mod"): module
        for name, module in model.named_modules()
        if name
    }


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Find a layer by name.

    Returns:
        The module.

    Raises:
        ValueError: If there is none; the message suggests the nearest and lists all.
    """
    layers = named_layers(model)
    if name not in layers:
        raise ValueError(unknown("layer", name, layers))
    return layers[name]


def captured(problem: Problem, layer: Layer, inputs: Inputs) -> Point:
    """Run the model and keep what goes through a layer.

    Returns:
        Clones, for a successor that works in place would overwrite the tensors; (n, ...) each.

    Raises:
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    rows = leaves(inputs)[0].shape[0]
    found: list[Tensor] = []

    def capture(tensor: Tensor) -> Tensor:
        if tensor.ndim == 0 or tensor.shape[0] != rows:
            raise ValueError(
                f"The {layer.of} of layer {layer.name!r} has shape {tuple(tensor.shape)} for {rows} samples;"
                " expected one row per sample, the batch dimension first."
            )
        found.append(tensor.clone())
        return tensor

    with intercepted(problem.model, layer, capture):
        problem.forward(problem.model, inputs)
    if not found:
        raise ValueError(f"The {layer.of} of layer {layer.name!r} holds no floating point tensor to explain.")
    return tuple(found)


@contextmanager
def intercepted(model: nn.Module, layer: Layer, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the floating point tensors of ``layer``, at its first run, through ``change``.

    Yields:
        None; leave the block after the forward pass.

    Raises:
        ValueError: If the layer does not exist, or was not reached.
    """
    module = find_layer(model, layer.name)
    reached = False

    def first(tree: Any) -> Any:  # noqa: ANN401
        nonlocal reached
        if reached:
            return None
        reached = True
        dims = _batch_dims(module, layer.of)
        return map_tensors(tree, lambda tensor: _batch_first(tensor, next(dims), change))

    if layer.of == "output":
        handle = module.register_forward_hook(lambda _module, _args, result: first(result))
    else:
        handle = module.register_forward_pre_hook(lambda _module, args, kwargs: first((args, kwargs)), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
    if not reached:
        raise ValueError(
            f"The layer {layer.name!r} was never reached in the model's forward pass: it is unused for these"
            " inputs, or its weights are used without calling it (as in a fused attention)."
        )


def _batch_dims(module: nn.Module, of: Side) -> Iterator[int]:
    first = 0 if getattr(module, "batch_first", True) else 1
    if isinstance(module, nn.RNNBase):
        return chain([first], repeat(1))  # then the states, (layers, n, ...)
    return repeat(first) if of == "input" else chain([first], repeat(0))  # then attention weights, (n, ...)


def _batch_first(tensor: Tensor, batch_dim: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    if batch_dim == 0 or tensor.ndim <= batch_dim:
        return change(tensor)
    return change(tensor.movedim(batch_dim, 0)).movedim(0, batch_dim)
