"""How deep in a model a layer lies: what it is worth to run only one side of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from lightning_explain.attribution.interception import find_layer

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer
    from lightning_explain.attribution.question import Question


def relative_depth(question: Question, layer: Layer) -> float:
    """The share of a model that has run when a layer is reached, roughly: of its innermost modules, each counting one.

    They are taken in the order in which they are registered, which for most models is that in which they run. Functions
    count for nothing, and a convolution for as much as its activation function.

    Args:
        question: Whose model.
        layer: A layer of it.

    Returns:
        A number from 0, the model's first module, to 1, its last.
    """
    if (relative_depth, layer) not in question.counted:
        inside = set(find_layer(question.model, layer.name).modules())
        order = [module for module in question.model.modules() if _is_innermost(module)]
        first = next((place for place, module in enumerate(order) if module in inside), 0)
        through = sum(map(_is_innermost, inside)) if layer.of == "output" else 0
        question.counted[relative_depth, layer] = (first + through) / len(order)
    return question.counted[relative_depth, layer]  # type: ignore[no-any-return]


def _is_innermost(module: nn.Module) -> bool:
    return next(module.children(), None) is None
