"""Reading and replacing what goes through a layer, by hooks that are gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor, nn

from lightning_explain.attribution.tree import map_tensors
from lightning_explain.inputs import Inputs, Point, leaves
from lightning_explain.registry import unknown

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer, Side
    from lightning_explain.attribution.question import Question

Split: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A tensor -> what is kept of it, and what the model goes on with."""


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


def captured(problem: Question, layer: Layer, inputs: Inputs) -> Point:
    """Run the model and keep what goes through a layer.

    Returns:
        Clones, for a successor that works in place would overwrite the tensors; (n, ...) each.

    Raises:
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    with capturing(problem, layer, leaves(inputs)[0].shape[0], lambda tensor: (tensor.clone(), tensor)) as found:
        problem.forward(problem.model, inputs)
    return tuple(found)


@contextmanager
def capturing(problem: Question, layer: Layer, rows: int, split: Split) -> Iterator[list[Tensor]]:
    """Keep what goes through a layer in a forward pass of ``rows`` samples.

    Args:
        problem: Whose model.
        layer: Where.
        rows: The number of samples that will go through.
        split: Makes of a tensor (rows, ...) what is kept, and what the model goes on with.

    Yields:
        The list that will hold what is kept; leave the block after the forward pass.

    Raises:
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    found: list[Tensor] = []

    def capture(tensor: Tensor) -> Tensor:
        if tensor.ndim == 0 or tensor.shape[0] != rows:
            raise ValueError(
                f"The {layer.of} of layer {layer.name!r} has shape {tuple(tensor.shape)} for {rows} samples;"
                " expected one row per sample, the batch dimension first."
            )
        kept, passed = split(tensor)
        found.append(kept)
        return passed

    with intercepted(problem.model, layer, capture):
        yield found
    if not found:
        raise ValueError(f"The {layer.of} of layer {layer.name!r} holds no floating point tensor to explain.")


@contextmanager
def intercepted(model: nn.Module, layer: Layer, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass the floating point tensors of ``layer``, at the run that it names, through ``change``.

    Yields:
        None; leave the block after the forward pass.

    Raises:
        ValueError: If the layer does not exist, or was not reached.
    """
    module = find_layer(model, layer.name)
    runs = 0

    def at_the_run(tree: Any) -> Any:  # noqa: ANN401
        nonlocal runs
        runs += 1
        if runs != layer.call + 1:
            return None
        dims = _batch_dims(module, layer.of)
        return map_tensors(tree, lambda tensor: _batch_first(tensor, next(dims), change))

    if layer.of == "output":
        handle = module.register_forward_hook(lambda _module, _args, result: at_the_run(result))
    else:
        handle = module.register_forward_pre_hook(
            lambda _module, args, kwargs: at_the_run((args, kwargs)), with_kwargs=True
        )
    try:
        yield
    finally:
        handle.remove()
    _require_reached(layer, runs)


def _require_reached(layer: Layer, runs: int) -> None:
    if runs == 0:
        raise ValueError(
            f"The layer {layer.name!r} was never reached in the model's forward pass: it is unused for these"
            " inputs, or its weights are used without calling it (as in a fused attention)."
        )
    if runs <= layer.call:
        raise ValueError(
            f"The layer {layer.name!r} ran {runs} time(s) in the model's forward pass; call={layer.call} asks for"
            f" run number {layer.call + 1}, and counts from 0."
        )


def _batch_dims(module: nn.Module, of: Side) -> Iterator[int]:
    first = 0 if _is_batch_first(module) else 1
    if isinstance(module, nn.RNNBase):
        return chain([first], repeat(1))  # then the states, (layers, n, ...)
    return repeat(first) if of == "input" else chain([first], repeat(0))  # then attention weights, (n, ...)


def _is_batch_first(module: nn.Module) -> bool:
    # Encoders and decoders do not say so themselves: their attention does.
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        return _is_batch_first(module.layers[0])
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        module = module.self_attn
    return bool(getattr(module, "batch_first", True))


def _batch_first(tensor: Tensor, batch_dim: int, change: Callable[[Tensor], Tensor]) -> Tensor:
    if batch_dim == 0 or tensor.ndim <= batch_dim:
        return change(tensor)
    return change(tensor.movedim(batch_dim, 0)).movedim(0, batch_dim)
