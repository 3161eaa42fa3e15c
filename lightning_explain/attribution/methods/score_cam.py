"""Score-CAM."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.methods.cam import CAM, channels_weighted
from lightning_explain.attribution.methods.method import METHODS
from lightning_explain.attribution.place import Input, Layer
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.upsampling import upsampled
from lightning_explain.inputs import Point, column


@METHODS.register("score_cam")
@dataclass(frozen=True)
class ScoreCAM(CAM):
    r"""A layer's channels, weighted with the score where only what they light up is seen. No gradient is needed.

    .. math:: L = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big), \qquad
              \alpha = \mathrm{softmax}_c\big(S(x \circ H_c + x^0 \circ (1 - H_c)) - S(x^0)\big), \qquad
              H_c = \frac{\mathrm{up}(A_c) - \min}{\max - \min}

    The mask lies on the input that has positions as the layer has; where there is none (ids), on the layer itself. A
    channel that is constant lights up nothing: its mask is zero. Costs a forward row for each channel.

    H. Wang et al.: Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks. arXiv:1910.01279,
    2019.
    """

    one_pass = False
    shares_points = True

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return tuple(self.laid_out(problem, z, self._shares(problem, which)) for which, z in enumerate(problem.z))

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:
        """The formula.

        Args:
            activation: Activations (n, channels, positions...).
            gradient: In its place the channels' weights, the same at every position.

        Returns:
            A map (n, 1, positions...), signed.
        """
        return channels_weighted(gradient, activation)

    def _shares(self, problem: Problem, which: int) -> Tensor:
        z = problem.z[which]
        if z.ndim < 3:
            return z  # refused where it is laid out
        channels = (problem.place.channel_dim or 1) % z.ndim
        seen, masked, maps = self._lit(problem, which, z.movedim(channels, 1).to(accumulator(z)))
        leaf, blank = seen.z[masked], seen.z0[masked]
        along = (seen.place.channel_dim or 1) % leaf.ndim
        sides = leaf.movedim(along, 1).shape[2:]

        def through(rows: Tensor, copies: Tensor) -> Point:
            point = [other[rows] for other in seen.z]
            mask = _mask(maps[rows, copies], sides).movedim(1, along).to(leaf)
            point[masked] = blank[rows] + mask * (leaf[rows] - blank[rows])
            return tuple(point)

        # The score at the baseline is left out: it is the same for all channels, and softmax does not see it.
        weights = seen.values(maps.shape[1], through).softmax(dim=1)
        return weights.view(*weights.shape, *[1] * (z.ndim - 2)).expand_as(z.movedim(channels, 1)).movedim(1, channels)

    def _lit(self, problem: Problem, which: int, activation: Tensor) -> tuple[Problem, int, Tensor]:
        # What is masked: the problem at its place, the tensor there, and the maps (n, channels, positions...).
        grid = self._grid(problem, activation)
        on_a_line = problem.place.channel_dim not in {None, 1} and grid is None
        if not isinstance(problem.place, Layer) or on_a_line:
            return problem, which, activation
        maps = activation if grid is None else grid.lay(activation)
        inputs = Input().variable(problem, problem.inputs)
        fitting = [i for i, leaf in enumerate(inputs) if leaf.ndim == maps.ndim]
        if not fitting:
            return problem, which, activation
        return problem.at(Input(), problem.target), fitting[0], maps


def _mask(maps: Tensor, sides: tuple[int, ...]) -> Tensor:
    # (m, 1, sides...) between 0 and 1, from (m, positions...)
    finer = maps[:, None]
    if maps.shape[1:] != sides:
        finer = upsampled(finer, sides)
    flat = finer.flatten(1)
    least = column(flat.amin(dim=1), finer)
    width = column(flat.amax(dim=1), finer) - least
    return torch.where(width == 0, 0.0, (finer - least) / torch.where(width == 0, 1.0, width))
