"""Ending a forward pass at a layer: what lies behind is not run where nobody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from torch import nn

from lightning_explain.attribution.depth import depth
from lightning_explain.attribution.interception import capturing, named_layers
from lightning_explain.attribution.model import Recorded
from lightning_explain.attribution.snapshot import Snapshot
from lightning_explain.inputs import Inputs, Point, leaves

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer
    from lightning_explain.attribution.question import Question

DEEP = 0.9
"""How deep a layer may be for a pass to end there: the first time costs a look at all that the modules hold."""

WRAPPERS = ("torch.nn.parallel", "torch.distributed")
"""Where modules come from whose forward function does more than compute."""


class Halted(BaseException):
    """All that was wanted of a forward pass is there. No ``Exception``, for models catch those."""


class Halt:
    """Ends forward passes once some layers have been reached.

    The first time, all that the modules hold is compared before and after. A model that leaves something in them, to be
    used or cleared later in the pass, is given that back, and runs to the end from then on. So does one whose end
    somebody waits for: a hook, a wrapper for several devices, whoever asked for the outputs too.

    Args:
        question: Whose model, and how it is called.
        layers: The layers, all of which are waited for.
        ends: Whether a pass may end there at all.
    """

    def __init__(self, question: Question, layers: Sequence[Layer], *, ends: bool = True) -> None:
        self._question, self._left = question, len(layers)
        self._ends = ends and question.counted.get(Halt, True) and _may_end(question, tuple(layers))

    def reached(self) -> None:
        """Tell that a layer has been reached.

        Raises:
            Halted: If it was the last, and the pass may end here.
        """
        self._left -= 1
        if self._ends and not self._left:
            raise Halted

    def run(self, inputs: Inputs) -> None:
        """Run the model, no further than need be.

        Args:
            inputs: Samples.
        """
        question = self._question
        state = Snapshot.of(list(question.model.modules())) if self._ends and Halt not in question.counted else None
        with suppress(Halted):
            question.forward(question.model, inputs)
        if state is not None:
            question.counted[Halt] = not state.restore()


def captured(question: Question, layer: Layer, inputs: Inputs, *, ends: bool) -> Point:
    """Run the model and keep what goes through a layer.

    Args:
        question: Whose model, and how it is called.
        layer: The layer.
        inputs: Samples.
        ends: Whether the pass may end at the layer: nobody watches it for anything else.

    Returns:
        Clones, for a successor that works in place would overwrite the tensors; (n, ...) each.

    Raises:
        ValueError: If the layer does not exist, was not reached or holds nothing to explain.
    """
    halt, rows = Halt(question, (layer,), ends=ends), leaves(inputs)[0].shape[0]
    with capturing(question, layer, rows, lambda tensor: (tensor.clone(), tensor), halt.reached) as found:
        halt.run(inputs)
    return tuple(found)


def _may_end(question: Question, layers: tuple[Layer, ...]) -> bool:
    if isinstance(question.forward, Recorded) or any(layer.call < 0 for layer in layers):
        return False
    if (_may_end, layers) not in question.counted:
        shallow = max(depth(question, layer) for layer in layers) < DEEP
        question.counted[_may_end, layers] = shallow and all(map(_only_computes, _around(question.model, layers)))
    return question.counted[_may_end, layers]  # type: ignore[no-any-return]


def _around(model: nn.Module, layers: tuple[Layer, ...]) -> list[nn.Module]:
    # The model, and what the layers are parts of.
    parts = [layer.name.split(".") for layer in layers]
    names = {".".join(path[:count]) for path in parts for count in range(1, len(path))}
    return [model, *(module for name, module in named_layers(model).items() if name in names)]


def _only_computes(module: nn.Module) -> bool:
    # Nothing happens behind its forward function, nor around it.
    return not (
        module._forward_hooks  # noqa: SLF001
        or "forward" in vars(module)
        or type(module).__module__.startswith(WRAPPERS)
    )
