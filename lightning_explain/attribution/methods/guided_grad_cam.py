"""Guided Grad-CAM."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_explain.attribution.convolution import last_convolution
from lightning_explain.attribution.interception import intercepted
from lightning_explain.attribution.methods.grad_cam import GradCAM
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.passes import Beside
from lightning_explain.attribution.place import Input, Layer, Neuron, Side
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.rules.modules import require_operators
from lightning_explain.attribution.rules.pullback import scaled
from lightning_explain.attribution.rules.rectified import GUIDED, Rectified
from lightning_explain.attribution.upsampling import MODES, upsampled
from lightning_explain.inputs import Point, leaves, pick, take
from lightning_explain.registry import unknown


@METHODS.register("guided_grad_cam")
@dataclass(frozen=True)
class GuidedGradCAM(Method):
    r"""Guided backpropagation times the Grad-CAM map of a layer, upsampled to the variable.

    .. math:: \phi = g_{\mathrm{guided}} \cdot \mathrm{upsample}(L_{\mathrm{Grad-CAM}})

    The fine detail of the one where the other finds the class. Inputs without the map's positions get nothing.

    R. R. Selvaraju et al.: Grad-CAM. arXiv:1610.02391, 2016.

    Args:
        layer: Dotted name of the map's layer, whose output is (n, channels, positions...); None: the last convolution
            that the model reaches.
        of: Whether the layer's ``"output"`` or its ``"input"`` is meant.
        mode: How the map is interpolated, see :data:`~lightning_explain.attribution.upsampling.MODES`.
        strict: Whether it is refused when no tensor has the map's positions, or there is no such interpolation;
            otherwise all get nothing.

    Raises:
        ValueError: If there is no such interpolation; or, when called, if what is explained does not depend on the
            layer, as a neuron in front of it does not, if the layer holds several tensors, or if no tensor has the
            map's positions.
    """

    samples_first = True
    one_row = True

    layer: str | None = None
    of: Side = "output"
    mode: str = "linear"
    strict: bool = True

    def __post_init__(self) -> None:
        if self.strict and self.mode not in MODES:
            raise ValueError(unknown("interpolation", self.mode, MODES))

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def fitting(self, problem: Problem) -> tuple[bool, ...]:
        """Which tensors of the variable have the positions of the map, and dimensions that it can be interpolated in.

        Returns:
            True or False for each.

        Raises:
            ValueError: If the layer holds several tensors.
        """
        shape = self._shape(problem)
        there = len(shape) in MODES.get(self.mode, ())
        return tuple(there and leaf.ndim == len(shape) for leaf in problem.z)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        problem.refuse_graph("Guided Grad-CAM")
        require_operators(problem.model, self.name)
        layer = self._layer(problem)
        origin = problem if isinstance(problem.place, Neuron) else replace(problem, place=Input())
        mode, own = Rectified(self.name, GUIDED), Beside(problem)

        def score(z: Point, rows: Tensor, _: Tensor) -> Tensor:
            activation, gradient = _observed(origin, layer, rows)
            problem.remembered(_shape_of(layer), lambda: tuple(activation.shape))
            given = self._weighted(problem, z, lambda: GradCAM().laid_out(origin, activation, gradient))
            with mode:
                return own.score(given, rows)

        found = problem.gradient_mean(1, lambda rows, _: pick(problem.z, rows), score=score, kind="guided grad-cam")
        own.remember()
        return found

    def _weighted(self, problem: Problem, z: Point, cam: Callable[[], Tensor]) -> Point:
        # The variable, whose gradient is multiplied with the map; of no map, if it has room in none of its tensors.
        fitting = self.fitting(problem)
        if not any(fitting):
            self._refuse(problem)
            return tuple(scaled(leaf, 0.0) for leaf in z)
        found = cam()
        return tuple(
            scaled(leaf, upsampled(found.to(leaf), leaf.shape[2:], self.mode) if fits else 0.0)
            for leaf, fits in zip(z, fitting, strict=True)
        )

    def _layer(self, problem: Problem) -> Layer:
        name = self.layer or problem.remembered("last convolution", lambda: last_convolution(problem))
        return Layer(name, self.of)

    def _shape(self, problem: Problem) -> tuple[int, ...]:
        layer = self._layer(problem)

        def find() -> tuple[int, ...]:
            held = layer.variable(
                problem, take(problem.inputs, torch.zeros(1, dtype=torch.long, device=leaves(problem.inputs)[0].device))
            )
            if len(held) != 1:
                raise ValueError(f"Grad-CAM needs a layer that holds one tensor; {layer.name!r} holds {len(held)}.")
            return tuple(held[0].shape)

        return problem.remembered(_shape_of(layer), find)

    def _refuse(self, problem: Problem) -> None:
        if self.strict:
            raise ValueError(
                f"The map of {self._layer(problem).name!r} has {len(self._shape(problem)) - 2} dimensions of positions,"
                f" (n, 1, positions...), interpolated by {self.mode!r}, and the tensors to explain have"
                f" {[leaf.ndim for leaf in problem.z]} dimensions: none has room for it."
            )


def _shape_of(layer: Layer) -> tuple[str, Layer]:
    # What the shape is remembered by: the first pass tells it, and none is made to ask.
    return "grad-cam shape", layer


def _observed(origin: Problem, layer: Layer, rows: Tensor) -> tuple[Tensor, Tensor]:
    # The layer's activation, and the gradient there. It becomes a leaf: what is in front of it runs without a graph.
    held: list[Tensor] = []

    def hold(activation: Tensor) -> Tensor:
        held.append(activation.detach().requires_grad_())
        return held[-1].clone()

    with intercepted(origin, layer, hold):
        score = origin.score(pick(origin.z, rows), rows)
    if len(held) != 1:
        raise ValueError(f"Grad-CAM needs a layer that holds one tensor; {layer.name!r} holds {len(held)}.")
    if not score.requires_grad:
        raise ValueError(f"What is explained does not depend on layer {layer.name!r}; name one in front, layer=...")
    (gradient,) = torch.autograd.grad(score.sum(), held[0])
    return held[0].detach(), gradient
