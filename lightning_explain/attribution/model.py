"""Calling a model: inputs in, one output tensor with a row per sample out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lightning_explain.inputs import Inputs, leaves

Forward: TypeAlias = Callable[[nn.Module, Any], Any]

FEWEST = 2
"""The fewest samples that a model is given where their number is free: one might be broadcast."""

UNFIT = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError)
"""What models raise when two parts of a batch do not have the same size."""

FAILURES = (*UNFIT, AttributeError, ArithmeticError)
"""What models raise with tensors that are not their own: those have no attributes of the user's, for one."""


def call(model: nn.Module, inputs: Inputs) -> Any:  # noqa: ANN401
    """Call ``model`` the way its inputs are packed.

    A tensor is passed as it is, a tuple as positional and a dict as keyword arguments. A model that
    wants something else, the batch as one dict, say, is given a ``forward`` of its own:
    ``forward=lambda model, inputs: model(inputs)["scores"]`` (a named function, if the callback is
    to be pickled).

    Returns:
        What the model returns.
    """
    if isinstance(inputs, Tensor):
        return model(inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs)


def output(model: nn.Module, inputs: Inputs, forward: Forward = call, rows: int | None = None) -> Tensor:
    """Run the model and find the tensor that holds its predictions.

    That is the output itself, its ``logits`` (attribute or key), or its first element.

    Args:
        model: The module.
        inputs: Samples.
        forward: How the model is called.
        rows: How many rows the output has; None: one for each sample.

    Returns:
        A tensor with one row per sample.

    Raises:
        TypeError: If no such tensor is found; pass ``forward=`` to pick it.
        ValueError: If the tensor does not have one row per sample.
    """
    found = prediction(forward(model, inputs))
    rows = leaves(inputs)[0].shape[0] if rows is None else rows
    if found.ndim == 0 or found.shape[0] != rows:
        raise ValueError(
            f"The model gave an output of shape {tuple(found.shape)} for {rows} samples;"
            " expected one row per sample, the batch dimension first (squeeze(-1) instead of squeeze(), perhaps)."
        )
    return found


@dataclass
class Recorded:
    """A way to call a model that keeps what it gave, for a pass that is made for something else.

    Args:
        forward: How the model is called.
    """

    forward: Forward
    _given: Any = field(default=None, init=False, repr=False)

    def __call__(self, model: nn.Module, inputs: Inputs) -> Any:  # noqa: ANN401
        """Call the model.

        Returns:
            What it returns.
        """
        self._given = self.forward(model, inputs)
        return self._given

    def output(self, model: nn.Module, inputs: Inputs, rows: int | None = None) -> Tensor:
        """The predictions of the last call, as :func:`output` finds them.

        Returns:
            A tensor with one row per sample.
        """
        return output(model, inputs, lambda *_: self._given, rows)


def is_materialized(model: nn.Module) -> bool:
    """Whether a model has its parameters, so that it can be run.

    Returns:
        False if it has none yet, or some are lazy or on the meta device.
    """
    parameters = list(model.parameters())
    return bool(parameters) and not any(is_lazy(parameter) or parameter.is_meta for parameter in parameters)


def prediction(result: Any) -> Tensor:  # noqa: ANN401
    """Find the tensor that holds predictions in what a model returned; see :func:`output`.

    Returns:
        The tensor.

    Raises:
        TypeError: If there is none.
    """
    if isinstance(result, Tensor):
        return result
    if isinstance(getattr(result, "logits", None), Tensor):
        return result.logits  # type: ignore[no-any-return]
    if isinstance(result, Mapping) and isinstance(result.get("logits"), Tensor):
        return result["logits"]  # type: ignore[no-any-return]
    if isinstance(result, (tuple, list)) and result and isinstance(result[0], Tensor):
        return result[0]
    found = f"a dict with the keys {list(result)}" if isinstance(result, Mapping) else type(result).__name__
    raise TypeError(
        f"Expected the model to return a tensor, something with `logits`, or a tuple that begins with"
        f" a tensor; got {found}. Pass forward=, a function (model, inputs) -> tensor, that picks it."
    )
