"""Attention rollout."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.methods.attention import Attention
from lightning_explain.attribution.methods.method import METHODS
from lightning_explain.inputs import Point


@METHODS.register("attention_rollout")
@dataclass(frozen=True)
class AttentionRollout(Attention):
    r"""Attention of all layers, multiplied: how much one token mixes of each, whatever is explained.

    .. math:: R = \tilde A_L \cdots \tilde A_1, \qquad \tilde A_l = \tfrac12 I + \tfrac12 \, \mathrm{mean}_h A_{l,h}

    Half of what goes on is the residual connection. Values, MLPs and the target play no part: it says where
    information may come from, not what speaks for a class.

    S. Abnar, W. Zuidema: Quantifying Attention Flow in Transformers. arXiv:2005.00928, 2020.
    """

    about_score = False

    def gathered(self, probabilities: Point, slopes: Point) -> Tensor:  # noqa: D102
        identity = torch.eye(probabilities[0].shape[-1]).to(probabilities[0])
        rollout = identity.expand_as(probabilities[0][:, 0])
        for attention in probabilities:
            rollout = (identity + attention.mean(dim=1)) / 2 @ rollout
        return rollout
