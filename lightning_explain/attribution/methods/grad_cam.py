"""Grad-CAM."""

from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.methods.method import METHODS, Method
from lightning_explain.attribution.place import Layer, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point


@METHODS.register("grad_cam")
@dataclass(frozen=True)
class GradCAM(Method):
    r"""A layer's channels, weighted with their mean gradient and summed, upsampled to the input.

    A map of tokens, whose channels are last (``Layer(name, channel_dim=-1)``), stays at its layer.

    .. math:: L = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big), \qquad
              \alpha_c = \frac1Z \sum_{i} \frac{\partial S}{\partial A_{c,i}}

    R. R. Selvaraju et al.: Grad-CAM. arXiv:1610.02391, 2016.

    Args:
        layer: Dotted name of a layer whose output is (n, channels, positions...); None: the last
            convolution that the model reaches.
        signed: Leave the ReLU out: evidence against the target is negative instead of zero.
    """

    coarse = True

    layer: str | None = None
    signed: bool = False

    def place(self) -> Place | None:  # noqa: D102
        return None if self.layer is None else Layer(self.layer)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        channels = problem.place.channel_dim or 1
        return tuple(
            self.map(z, gradient, channels % z.ndim) for z, gradient in zip(problem.z, problem.gradient(), strict=True)
        )

    def map(self, activation: Tensor, gradient: Tensor, channels: int) -> Tensor:
        """The map of a layer.

        Args:
            activation: What the layer gives, (n, channels, positions...).
            gradient: That of the score with respect to it.
            channels: Where the channels are.

        Returns:
            The map, with one channel.

        Raises:
            ValueError: If the layer has no positions.
        """
        if activation.ndim < 3:
            raise ValueError(
                f"Grad-CAM needs a layer whose output is (n, channels, positions...), got {tuple(activation.shape)};"
                " choose a convolution."
            )
        positions = tuple(dim for dim in range(1, activation.ndim) if dim != channels)
        alpha = gradient.mean(dim=positions, keepdim=True)
        cam = (alpha * activation).sum(dim=channels, keepdim=True)
        return cam if self.signed else cam.relu()
