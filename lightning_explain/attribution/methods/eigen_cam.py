"""Eigen-CAM."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.methods.cam import CAM
from lightning_explain.attribution.methods.method import METHODS
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point


@METHODS.register("eigen_cam")
@dataclass(frozen=True)
class EigenCAM(CAM):
    r"""The first principal component of a layer's activations, whatever is explained.

    .. math:: L = A v_1, \qquad A = U \Sigma V^\top

    with :math:`A` (positions, channels), not centered, as in the paper. A singular vector has no sign: it is taken so
    that the map's sum is not negative.

    M. B. Muhammad, M. Yeasin: Eigen-CAM: Class Activation Map using Principal Components. arXiv:2008.00299, 2020.
    """

    about_score = False
    one_pass = False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        return tuple(self.laid_out(problem, z, torch.zeros_like(z, dtype=accumulator(z))) for z in problem.z)

    def map(self, activation: Tensor, gradient: Tensor) -> Tensor:  # noqa: D102
        rows = activation.flatten(2).transpose(1, 2)
        _, _, right = torch.linalg.svd(rows, full_matrices=False)
        found = rows @ right[:, 0, :, None]
        found = torch.where(found.sum(dim=1, keepdim=True) < 0, -found, found)
        return found.transpose(1, 2).reshape(len(found), 1, *activation.shape[2:])
