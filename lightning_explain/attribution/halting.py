"""Ending a forward pass at a layer: what lies behind is not run where nobody asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import nn

from lightning_explain.attribution.interception import capturing, find_layer
from lightning_explain.attribution.model import FAILURES, FEWEST, Recorded
from lightning_explain.attribution.relative_depth import relative_depth
from lightning_explain.attribution.snapshot import Snapshot
from lightning_explain.inputs import Inputs, Point, leaves, take

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer
    from lightning_explain.attribution.question import Question

WORTH = 8
"""What a pass must save for the trial to be worth it, in rows of the whole model: a pass of few rows costs calls."""

WRAPPERS = ("torch.nn.parallel", "torch.distributed")
"""Where modules come from whose forward function does more than compute."""


class Halted(BaseException):
    """All that was wanted of a forward pass is there. No ``Exception``, for models catch those."""


class Halt:
    """Ends a forward pass once some layers have been reached.

    Args:
        count: How many layers are waited for.
        halts: Whether the pass ends there.
    """

    def __init__(self, count: int, *, halts: bool) -> None:
        self._left, self._halts = count, halts

    def reached(self) -> None:
        """Tell that a layer has been reached.

        Raises:
            Halted: If it was the last, and the pass ends there.
        """
        self._left -= 1
        if self._halts and not self._left:
            raise Halted


def captured(question: Question, layer: Layer, inputs: Inputs, *, halts: bool) -> Point:
    """Run the model and keep what goes through a layer.

    Args:
        question: Whose model, and how it is called.
        layer: The layer.
        inputs: Samples.
        halts: Whether the pass may end at the layer: nobody watches it for anything else.

    Returns:
        Clones, for a successor that works in place would overwrite the tensors; (n, ...) each.

    Raises:
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    rows = leaves(inputs)[0].shape[0]
    halt = Halt(1, halts=halts and may_halt(question, (layer,), rows))
    with capturing(question, layer, rows, lambda tensor: (tensor.clone(), tensor), halt.reached) as found:
        run(question, inputs)
    return tuple(found)


def run(question: Question, inputs: Inputs) -> None:
    """Run the model, perhaps no further than to where a pass ends.

    Args:
        question: Whose model, and how it is called.
        inputs: Samples.
    """
    with suppress(Halted):
        question.forward(question.model, inputs)


def may_halt(question: Question, layers: tuple[Layer, ...], rows: int) -> bool:
    """Whether a forward pass may end where some layers have been reached.

    It may not where somebody waits for its end: a hook around a layer, a wrapper for several devices, whoever asked for
    the outputs too. Nor where a pass that ends leaves anything in what the modules hold, to be used or cleared later in
    a pass: that is tried once, without a graph, for to put it back would spoil one.

    Args:
        question: Whose model, and how it is called.
        layers: The layers.
        rows: The samples of the pass: for a few the trial is not worth it.

    Returns:
        True or False.
    """
    if isinstance(question.forward, Recorded) or any(layer.call < 0 for layer in layers):
        return False
    if (may_halt, layers) not in question.counted:
        if rows * (1 - max(relative_depth(question, layer) for layer in layers)) < WORTH:
            return False
        question.counted[may_halt, layers] = _nobody_waits(question.model, layers) and _leaves_nothing(question, layers)
    return question.counted[may_halt, layers]  # type: ignore[no-any-return]


def _leaves_nothing(question: Question, layers: tuple[Layer, ...]) -> bool:
    count = 1 if any(layer.whole for layer in layers) else FEWEST
    few = torch.arange(count, device=leaves(question.inputs)[0].device) % question.samples
    halt, state = Halt(len(layers), halts=True), Snapshot.of(list(question.model.modules()), objects=True)
    try:
        with torch.no_grad(), ExitStack() as stack:
            for layer in layers:
                stack.enter_context(capturing(question, layer, count, lambda tensor: (tensor, tensor), halt.reached))
            run(question, take(question.inputs, few))
    except FAILURES:  # of samples that are not all there is, or where these do not reach the layers
        state.restore()
        return False
    return not state.restore()


def _nobody_waits(model: nn.Module, layers: tuple[Layer, ...]) -> bool:
    # Around a layer is whatever it is a part of, under any name: who runs it no name tells.
    inner = {find_layer(model, layer.name) for layer in layers}
    around = [module for module in model.modules() if module is model or not inner.isdisjoint(_parts(module))]
    return not nn.modules.module._global_forward_hooks and all(map(_only_computes, around))  # noqa: SLF001


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    return islice(module.modules(), 1, None)  # without itself


def _only_computes(module: nn.Module) -> bool:
    # Nothing happens behind its forward function, nor around it.
    return not (
        module._forward_hooks  # noqa: SLF001
        or "forward" in vars(module)
        or type(module).__module__.startswith(WRAPPERS)
    )
