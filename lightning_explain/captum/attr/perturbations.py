"""Methods that replace parts of the inputs, and watch the output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.futures import Future

from lightning_explain.attribution import methods
from lightning_explain.attribution.methods.feature_permutation import permutations
from lightning_explain.captum.arguments import Baselines, Tensors, as_inputs
from lightning_explain.captum.ask import Ask
from lightning_explain.captum.asking import answer
from lightning_explain.captum.attr.attribution import PerturbationAttribution, answered
from lightning_explain.captum.calling import Awaited
from lightning_explain.captum.errors import ArgumentError
from lightning_explain.captum.selecting import Target
from lightning_explain.captum.shaping import by_flat_output, of_means
from lightning_explain.inputs import Point

PermFunc: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Window: TypeAlias = tuple[int, ...]
Stride: TypeAlias = int | tuple[int, ...]


def in_future(attribute: Callable[..., Any]) -> Callable[..., Future[Any]]:
    """Make a method ``attribute_future`` of a method ``attribute``.

    Args:
        attribute: Of a class whose forward function may return futures; its results are waited for.

    Returns:
        A method with the same parameters, which returns a future, done, of what ``attribute`` would return.
    """

    def attribute_future(self: PerturbationAttribution, *args: Any, **kwargs: Any) -> Future[Any]:
        """As ``attribute``, of a forward function that returns a :class:`torch.futures.Future`.

        Returns:
            A future, done, of what ``attribute`` would return.
        """
        found = answer(Awaited(self.forward_func), self.asked(*args, **kwargs))
        held = found if isinstance(found, tuple) else (found,)
        future: Future[Any] = Future(devices=sorted({leaf.device for leaf in held if leaf.is_cuda}, key=str))
        future.set_result(found)
        return future

    attribute_future.__signature__ = signature(attribute)  # type: ignore[attr-defined]
    return attribute_future


class FeatureAblation(PerturbationAttribution):
    """How much the output falls when one feature is replaced; see :class:`lightning_explain.FeatureAblation`."""

    @answered
    def attribute(
        self,
        inputs: Tensors,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        feature_mask: Tensors | None = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Ask:
        return Ask(
            methods.FeatureAblation(),
            inputs,
            baselines,
            target,
            additional_forward_args,
            feature_mask,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            progress=self.bar_title(show_progress),
            form=by_flat_output,
        )

    attribute_future = in_future(attribute)


class FeaturePermutation(FeatureAblation):
    """How much the output falls when one feature is exchanged among the samples.

    See :class:`lightning_explain.FeaturePermutation`.

    Args:
        forward_func: A model, or any function of the inputs and the additional arguments.
        perm_func: ``(input (n, ...), mask of one feature) -> input with that feature exchanged``; None: one permutation
            of the samples, the same for all features and inputs.
    """

    def __init__(self, forward_func: Callable[..., Any], perm_func: PermFunc | None = None) -> None:
        super().__init__(forward_func)
        self.perm_func = perm_func

    @answered
    def attribute(
        self,
        inputs: Tensors,
        target: Target = None,
        additional_forward_args: object = None,
        feature_mask: Tensors | None = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Ask:
        seed = torch.initial_seed()
        within = _Within(self.perm_func or _Permuted(seed))
        method = methods.FeaturePermutation(seed=seed, exchange=None if self.perm_func is None else within)
        return Ask(
            method,
            inputs,
            None,
            target,
            additional_forward_args,
            feature_mask,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            batched=methods.FeaturePermutation(exchange=within.a_batch),
            progress=self.bar_title(show_progress),
            form=by_flat_output,
        )

    attribute_future = in_future(attribute)


class Occlusion(FeatureAblation):
    """How much the output falls when a window is replaced; see :class:`lightning_explain.Occlusion`."""

    @answered
    def attribute(
        self,
        inputs: Tensors,
        sliding_window_shapes: Window | tuple[Window, ...],
        strides: Stride | tuple[Stride, ...] | None = None,
        baselines: Baselines = None,
        target: Target = None,
        additional_forward_args: object = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Ask:
        point = as_inputs(inputs)
        windows = _windows(sliding_window_shapes, point)
        steps = _strides(strides, windows, point)
        # Of a batch that is explained as a whole, the window takes all samples.
        batches = tuple((max(len(leaf), 1), *window) for leaf, window in zip(point, windows, strict=True))
        return Ask(
            methods.Occlusion(windows, steps, overhang=True),
            inputs,
            baselines,
            target,
            additional_forward_args,
            max_rows=rows_for(perturbations_per_eval, inputs),
            whole=True,
            batched=methods.Occlusion(batches, tuple((1, *step) for step in steps), overhang=True),
            progress=self.bar_title(show_progress),
            form=of_means,
        )

    attribute_future = PerturbationAttribution.attribute_future  # as in Captum


def rows_for(perturbations_per_eval: int, inputs: Tensors) -> int | None:
    """The most rows that go through the model at once.

    Args:
        perturbations_per_eval: Captum's; 1, its default, leaves the choice to us.
        inputs: The inputs.

    Returns:
        The number of rows; None: chosen by measurement.

    Raises:
        ArgumentError: If it is no integer, or less than 1.
    """
    if not isinstance(perturbations_per_eval, int) or perturbations_per_eval < 1:
        raise ArgumentError(f"perturbations_per_eval must be an integer of at least 1, got {perturbations_per_eval}.")
    first = as_inputs(inputs)[0]
    return None if perturbations_per_eval == 1 else perturbations_per_eval * max(len(first) if first.ndim else 1, 1)


@dataclass(frozen=True)
class _Permuted:
    """Exchange a feature by a permutation that depends on the number of samples alone."""

    seed: int

    def __call__(self, x: Tensor, feature_mask: Tensor) -> Tensor:
        (order,) = permutations(len(x), 1, self.seed)
        return torch.where(feature_mask, x[order.to(x.device)], x)


@dataclass(frozen=True)
class _Within:
    """Exchange a feature in all inputs that have something of it."""

    exchange: PermFunc

    def __call__(self, z: Point, masks: Point) -> Point:
        touched = [bool(mask.any()) for mask in masks]
        # Of a single sample there is nothing to exchange with, and a feature is exchanged in all inputs or in none.
        if any(held and (leaf.ndim == 0 or len(leaf) < 2) for held, leaf in zip(touched, z, strict=True)):
            return z
        return tuple(
            self.exchange(leaf.clone(), mask) if held else leaf
            for held, leaf, mask in zip(touched, z, masks, strict=True)
        )

    def a_batch(self, z: Point, masks: Point) -> Point:
        """The same, where the batch is one sample.

        Returns:
            Tensors like ``z``, (1, n, ...).
        """
        return tuple(leaf[None] for leaf in self(tuple(leaf[0] for leaf in z), tuple(mask[0] for mask in masks)))


def _windows(given: Window | tuple[Window, ...], inputs: Point) -> tuple[Window, ...]:
    several = isinstance(given, tuple) and len(given) > 0 and isinstance(given[0], tuple)
    shapes: tuple[Any, ...] = given if several else (given,)
    if len(shapes) != len(inputs):
        raise ArgumentError(f"Expected a window for each of {len(inputs)} input(s), got {len(shapes)}.")
    for number, (window, leaf) in enumerate(zip(shapes, inputs, strict=True)):
        sides = tuple(leaf.shape[1:])
        fits = isinstance(window, tuple) and len(window) == len(sides)
        if not fits or any(not 0 < size <= side for size, side in zip(window, sides, strict=True)):
            raise ArgumentError(
                f"The window {window} of input {number} does not fit samples of shape {sides}: it needs a size for each"
                " dimension after the first, at most that of the input."
            )
    return shapes


def _strides(
    given: Stride | tuple[Stride, ...] | None, windows: tuple[Window, ...], inputs: Point
) -> tuple[Window, ...]:
    alone = len(inputs) == 1 and not (isinstance(given, tuple) and len(given) == 1)
    strides: Any = (1,) * len(inputs) if given is None else (given,) if alone else given
    if not isinstance(strides, tuple) or len(strides) != len(inputs):
        raise ArgumentError(f"Expected a stride for each of {len(inputs)} input(s), got {given}.")
    return tuple(_stride(number, *each) for number, each in enumerate(zip(strides, windows, inputs, strict=True)))


def _stride(number: int, stride: Stride, window: Window, leaf: Tensor) -> Window:
    steps, sides = stride if isinstance(stride, tuple) else (stride,) * len(window), leaf.shape[1:]
    fits = len(steps) == len(window) and all(isinstance(step, int) and step > 0 for step in steps)
    if not fits or any(step > size < side for step, size, side in zip(steps, window, sides, strict=True)):
        raise ArgumentError(
            f"The stride {stride} of input {number} does not fit the window {window}: it needs a step for each"
            " dimension, at least 1 and at most that of the window, or elements would be left out."
        )
    return steps
