"""What the methods of the CAM family share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from lightning_explain.attribution.methods.method import Method
from lightning_explain.attribution.place import Input, Layer, Place
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.tokens import TokenGrid
from lightning_explain.inputs import Point


@dataclass(frozen=True)
class CAM(Method):
    """A map of a layer's positions: a formula of its activations, and of their gradients from the same pass.

    At ``Layer(name, channel_dim=-1)`` the positions are tokens. Where they are the patches of a picture, with class or
    register tokens in front, those are dropped and the others laid back to their grid, before the formula is applied;
    the map is upsampled like any other. Tokens of something else keep their line, (n, tokens, 1).

    Args:
        layer: Dotted name of a layer whose output is (n, channels, positions...); None: the last
            convolution that the model reaches.
        signed: Leave the last ReLU out: evidence against the target is negative instead of zero.
        grid: Patches along each side of the picture, where they cannot be told from the number of tokens.
    """

    coarse = True
    one_pass = True

    layer: str | None = None
    signed: bool = False
    grid: tuple[int, ...] | None = None

    def place(self) -> Place | None:  # noqa: D102
        return None if self.layer is None else Layer(self.layer)

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        gradients = problem.gradient()  # first: the pass gives the activations too
        return tuple(self.laid_out(problem, z, gradient) for z, gradient in zip(problem.z, gradients, strict=True))

    @abstractmethod
    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """The formula.

        Args:
            activation: Activations (n, channels, positions...).
            gradient: The score's gradient with respect to them.

        Returns:
            A map (n, 1, positions...), signed.
        """

    def laid_out(self, problem: Problem, z: Tensor, gradient: Tensor) -> Tensor:
        """Apply the formula to tensors whose channels are where the place says.

        Returns:
            A map (n, 1, positions...), or (n, positions..., 1) of tokens.

        Raises:
            ValueError: If there are no positions.
        """
        if z.ndim < 3:
            raise ValueError(
                f"Grad-CAM needs a layer whose output is (n, channels, positions...), and so do its like; got"
                f" {tuple(z.shape)}. Choose a convolution, or tokens."
            )
        channels = (problem.place.channel_dim or 1) % z.ndim
        activation, gradient = z.movedim(channels, 1), gradient.movedim(channels, 1)
        grid = self._grid(problem, activation)
        if grid is not None:
            activation, gradient = grid.lay(activation), grid.lay(gradient)
        found = self.map(activation.to(gradient), gradient)
        found = found if self.signed else found.relu()
        return found if grid is not None else found.movedim(1, channels)

    def _grid(self, problem: Problem, activation: Tensor) -> TokenGrid | None:
        tokens = activation.ndim == 3 and problem.place.channel_dim not in {None, 1}
        if not tokens or not isinstance(problem.place, Layer):
            return None
        return TokenGrid.find(activation.shape[2], Input().variable(problem, problem.inputs), self.grid)


def channels_weighted(alpha: Tensor, activation: Tensor) -> Tensor:
    """Sum channels with a weight each, or one at each position.

    Args:
        alpha: Weights (n, channels), or of the activation's shape.
        activation: Activations (n, channels, positions...).

    Returns:
        A map (n, 1, positions...).
    """
    if alpha.ndim == 2:
        alpha = alpha.view(*alpha.shape, *[1] * (activation.ndim - 2))
    return (alpha * activation).sum(dim=1, keepdim=True)
