"""Guided Grad-CAM."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lightning_explain.attribution.convolution import last_convolution
from lightning_explain.attribution.interception import intercepted
from lightning_explain.attribution.methods.grad_cam import GradCAM
from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.place import Input, Layer, Neuron
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.rules.pullback import scaled
from lightning_explain.attribution.rules.rectified import GUIDED, Rectified
from lightning_explain.attribution.upsampling import upsampled
from lightning_explain.inputs import Point, pick


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

    Raises:
        ValueError: When called: if what is explained does not depend on the layer, as a neuron in front of it does not,
            or if no tensor has the map's positions.
    """

    samples_first = True

    layer: str | None = None

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        problem.refuse_graph("Guided Grad-CAM")
        layer = Layer(self.layer or last_convolution(problem))
        origin = problem if isinstance(problem.place, Neuron) else replace(problem, place=Input())
        mode = Rectified(self.name, GUIDED)

        def score(z: Point, rows: Tensor, _: Tensor) -> Tensor:
            cam = _map(origin, layer, rows)
            given = _weighted(z, cam, layer)
            with mode:
                return problem.score(given, rows)

        return problem.gradient_mean(1, lambda rows, _: pick(problem.z, rows), score=score, kind="guided grad-cam")


def _map(origin: Problem, layer: Layer, rows: Tensor) -> Tensor:
    # The layer's activation becomes a leaf: what is in front of it runs without a graph.
    held: list[Tensor] = []

    def hold(activation: Tensor) -> Tensor:
        held.append(activation.detach().requires_grad_())
        return held[-1].clone()

    with intercepted(origin.model, layer, hold):
        score = origin.score(pick(origin.z, rows), rows)
    if not score.requires_grad:
        raise ValueError(f"What is explained does not depend on layer {layer.name!r}; name one in front, layer=...")
    (gradient,) = torch.autograd.grad(score.sum(), held[0])
    return GradCAM().laid_out(origin, held[0].detach(), gradient)


def _weighted(z: Point, cam: Tensor, layer: Layer) -> Point:
    # Whose gradient is multiplied with the map.
    if all(leaf.ndim != cam.ndim for leaf in z):
        raise ValueError(
            f"The map of layer {layer.name!r} has {cam.ndim - 2} dimensions of positions, (n, 1, positions...), and the"
            f" tensors to explain have {[leaf.ndim for leaf in z]} dimensions: none has room for it."
        )
    return tuple(scaled(leaf, upsampled(cam.to(leaf), leaf.shape[2:]) if leaf.ndim == cam.ndim else 0.0) for leaf in z)
