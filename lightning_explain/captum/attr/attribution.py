"""What all of Captum's attribution classes have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain.attribution.convergence import convergence_delta
from lightning_explain.attribution.guard import borrowed
from lightning_explain.captum.arguments import (
    Baselines,
    Tensors,
    as_arguments,
    as_baselines,
    as_inputs,
    require_samples,
)
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.asking import answer, answers
from lightning_explain.captum.attr.documentation import documented
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.gradient import compute_gradients, taken_by
from lightning_explain.captum.host import Host
from lightning_explain.captum.lending import Call
from lightning_explain.captum.selecting import Target


def answered(asks: Callable[..., Ask | list[Ask]]) -> Callable[..., Any]:
    """Make a method ``attribute`` of one that says what is asked.

    Args:
        asks: A method with Captum's parameters, which returns the question, or several.

    Returns:
        A method with the same parameters, which returns attributions. ``.asks`` is the first, for those that ask
        something around it; ``.__wrapped__`` is what Captum's own wrappers call.
    """

    @wraps(asks)
    def posed(self: Attribution, *args: Any, **kwargs: Any) -> Ask | list[Ask]:
        return self.settled(asks(self, *args, **kwargs))

    @wraps(asks)
    def attribute(self: Attribution, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        asked = posed(self, *args, **kwargs)
        return answers(self.forward_func, asked) if isinstance(asked, list) else answer(self.forward_func, asked)

    attribute.__signature__ = signature(asks)  # type: ignore[attr-defined]  # for tools that look no deeper
    outer = published(attribute)
    outer.asks = posed  # type: ignore[attr-defined]
    outer.__annotations__["return"] = Any
    return outer


def published(attribute: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method ``attribute`` public: with a docstring, and what Captum's own wrappers call.

    Returns:
        The method; ``.__wrapped__`` is what was given.
    """

    @wraps(attribute)
    def outer(self: Attribution, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        return attribute(self, *args, **kwargs)

    outer.__doc__ = attribute.__doc__ or documented(attribute)
    return outer


class Attribution:
    """The base of all methods: a forward function, and ``attribute``.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
    """

    attribute: Callable[..., Any]

    def __init__(self, forward_func: Callable[..., Any]) -> None:
        self.forward_func = forward_func

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions are shares of the output; otherwise they are sensitivities."""
        return False

    def has_convergence_delta(self) -> bool:
        """Whether ``attribute`` takes ``return_convergence_delta``.

        Returns:
            True or False.
        """
        return False

    def asked(self, *args: Any, **kwargs: Any) -> Ask:
        """What a call of ``attribute`` asks.

        Returns:
            The question.
        """
        return self.attribute.asks(self, *args, **kwargs)  # type: ignore[attr-defined, no-any-return]

    def settled(self, asked: Ask | list[Ask]) -> Ask | list[Ask]:
        """What a call asks, with what was set on this object beside the call.

        Returns:
            The question, or several.
        """
        return asked

    def attribute_future(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Explain a forward function that returns futures.

        Raises:
            NotImplementedError: If the method does not have it.
        """
        raise NotImplementedError(f"attribute_future is not there for {type(self).__name__}; use attribute.")

    def compute_convergence_delta(self, *args: Any, **kwargs: Any) -> Tensor:
        """How far attributions are from adding up.

        Raises:
            NotImplementedError: If the method is not complete.
        """
        raise NotImplementedError(f"There is no convergence delta for {self.get_name()}.")

    @classmethod
    def get_name(cls) -> str:
        """The class's name, in words.

        Returns:
            ``"Integrated Gradients"``, say.
        """
        return re.sub(r"(?<!^)(?=[A-Z])", " ", cls.__name__)


class GradientAttribution(Attribution):
    """The base of methods that ask for gradients.

    Attributes:
        gradient_func: How gradients with respect to the inputs are taken, ``(forward function, inputs, target,
            additional arguments) -> a gradient for each input``; it can be replaced for methods that have no rules of
            their own, and plays no part at layers and neurons.
    """

    gradient_func: Callable[..., Any] = staticmethod(compute_gradients)

    def settled(self, asked: Ask | list[Ask]) -> Ask | list[Ask]:
        return asked if isinstance(asked, list) else taken_by(self.gradient_func, asked)

    def compute_convergence_delta(
        self,
        attributions: Tensors,
        start_point: Baselines,
        end_point: Tensors,
        target: Target = None,
        additional_forward_args: object = None,
    ) -> Tensor:
        """How far attributions are from adding up to the difference of outputs.

        Args:
            attributions: One tensor for each input.
            start_point: The baselines.
            end_point: The inputs (n, ...).
            target: Which output was explained.
            additional_forward_args: What the forward function is given after the inputs.

        Returns:
            Sum of attributions - (output at the inputs - output at the baselines), (n,); 0 is exact.

        Raises:
            ArgumentError: If baselines and inputs do not fit.
        """
        given, inputs = as_inputs(attributions), as_inputs(end_point)
        require_samples(inputs, "end_point")
        call = Call(self.forward_func, as_arguments(additional_forward_args), target)
        if {len(leaf) for leaf in given} != {len(inputs[0])}:
            raise ArgumentError(
                f"Expected attributions of {len(inputs[0])} samples, got {[len(leaf) for leaf in given]}."
            )
        with borrowed(Host(self.forward_func)), torch.no_grad():
            start, end = map(call.selection, (as_baselines(start_point, inputs), inputs))
        return convergence_delta(given, _total(end), _total(start)).to(given[0])


class FactorAttribution(GradientAttribution):
    """The base of methods of gradients that multiply sensitivities by how far the input is from its baseline.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
        multiply_by_inputs: False leaves that factor out.
    """

    def __init__(self, forward_func: Callable[..., Any], multiply_by_inputs: bool = True) -> None:
        super().__init__(forward_func)
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions are shares of the output."""
        return self._multiply_by_inputs


class PerturbationAttribution(Attribution):
    """The base of methods that perturb."""

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether attributions are shares of the output."""
        return True

    def bar_title(self, show_progress: bool) -> str:
        """What stands before a progress bar.

        Returns:
            ``"Feature Ablation attribution"``, say; empty where none is wanted.
        """
        return f"{self.get_name()} attribution" if show_progress else ""


class InternalAttribution(Attribution):
    """The base of methods at a layer.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
        layer: The layer, or several.
        device_ids: Accepted and not needed: a layer runs where it is.
    """

    def __init__(
        self, forward_func: Callable[..., Any], layer: nn.Module | list[nn.Module], device_ids: list[int] | None = None
    ) -> None:
        super().__init__(forward_func)
        self.layer = layer
        self.device_ids = device_ids


class LayerAttribution(InternalAttribution):
    """The base of methods whose attributions are about a layer."""

    @staticmethod
    def interpolate(
        layer_attribution: Tensor, interpolate_dims: int | tuple[int, ...], interpolate_mode: str = "nearest"
    ) -> Tensor:
        """Upsample a layer's attributions to another size.

        Args:
            layer_attribution: Attributions (n, channels, ...).
            interpolate_dims: The sizes of the dimensions after the second.
            interpolate_mode: As in :func:`torch.nn.functional.interpolate`.

        Returns:
            Attributions (n, channels, *interpolate_dims).
        """
        return F.interpolate(layer_attribution, interpolate_dims, mode=interpolate_mode)


class NeuronAttribution(InternalAttribution):
    """The base of methods that explain a unit of a layer."""


def _total(output: Tensor) -> Tensor:
    return output.reshape(len(output), -1).sum(dim=1)
