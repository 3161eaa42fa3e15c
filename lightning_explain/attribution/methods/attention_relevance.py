"""Attention, weighted with its gradient."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.methods.attention import Attention
from lightning_explain.attribution.methods.method import METHODS
from lightning_explain.inputs import Point


@METHODS.register("attention_relevance")
@dataclass(frozen=True)
class AttentionRelevance(Attention):
    r"""Attention times its gradient, where that is positive, rolled out over the layers.

    .. math:: R \leftarrow R + \bar A_l R, \qquad
              \bar A_l = \mathrm{mean}_h \Big(\frac{\partial S}{\partial A_{l,h}} \circ A_{l,h}\Big)^+

    from :math:`R = I` on, which is taken off in the end: a token's own residual stream is no attention. For the
    target, unlike the rollout. This is the rule for self-attention; cross-attention is not followed.

    H. Chefer, S. Gur, L. Wolf: Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
    Transformers. arXiv:2103.15679, 2021.
    """

    sloped = True

    def gathered(self, probabilities: Point, slopes: Point) -> Tensor:  # noqa: D102
        identity = torch.eye(probabilities[0].shape[-1]).to(probabilities[0])
        relevance = identity.expand_as(probabilities[0][:, 0])
        for attention, slope in zip(probabilities, slopes, strict=True):
            relevance = relevance + (slope * attention).relu().mean(dim=1) @ relevance
        return relevance - identity
