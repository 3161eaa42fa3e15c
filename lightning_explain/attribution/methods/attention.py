"""What the methods that follow attention share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_explain.attribution.attention import attended
from lightning_explain.attribution.derivative import accumulator
from lightning_explain.attribution.methods.method import Method
from lightning_explain.attribution.place import Layer
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.tokens import TokenGrid
from lightning_explain.attribution.upsampling import upsampled
from lightning_explain.inputs import Point, leaves


@dataclass(frozen=True)
class Attention(Method):
    """How much one token gathers of each token at the place, along the attention of all layers behind it.

    One number for each token: (n, tokens) for ids, (n, tokens, 1) for vectors. A picture that was cut into patches gets
    its patches' numbers, laid back to the grid and upsampled, (n, 1, height, width). Other inputs get zeros.

    Args:
        query: The token that the prediction is read from: 0, the class token, in many models; -1, the last one, in
            causal language models; None: all, for a mean over the tokens.
        grid: Patches along each side of the picture, where they cannot be told from the number of tokens.
    """

    needs_attention = True
    sloped = False

    query: int | None = 0
    grid: tuple[int, ...] | None = None

    @property
    def contributes(self) -> bool:  # noqa: D102
        return False

    def __call__(self, problem: Problem) -> Point:  # noqa: D102
        parts: list[Tensor] = []

        def body(chunk: slice) -> None:
            rows = torch.arange(chunk.start, chunk.stop, device=leaves(problem.inputs)[0].device)
            probabilities, slopes = attended(problem, rows, sloped=self.sloped)
            held = tuple(found.to(accumulator(found)) for found in probabilities)
            gathered = self.gathered(held, slopes)
            parts.append(gathered.mean(dim=1) if self.query is None else gathered[:, self.query])

        problem.run(problem.samples, f"attention{problem.place}", body)
        return self._spread(problem, torch.cat(parts))

    @abstractmethod
    def gathered(self, probabilities: Point, slopes: Point) -> Tensor:
        """The formula.

        Args:
            probabilities: Attention (n, heads, tokens, tokens) of each layer, the first one first.
            slopes: The score's gradient with respect to it, if ``sloped``.

        Returns:
            How much each token (second) gathers of each (third), (n, tokens, tokens).
        """

    def _spread(self, problem: Problem, tokens: Tensor) -> Point:
        # (n, tokens) over the tensors of the variable.
        point = [torch.zeros_like(leaf[:, :1] if leaf.ndim > 2 else leaf, dtype=tokens.dtype) for leaf in problem.z]
        count = tokens.shape[1]
        pictures = [i for i, leaf in enumerate(problem.z) if leaf.ndim == 4 and not isinstance(problem.place, Layer)]
        grid = TokenGrid.find(count, tuple(problem.z[i] for i in pictures), self.grid) if pictures else None
        if grid is not None:
            chosen = pictures[0]
            point[chosen] = upsampled(grid.lay(tokens[:, None]), problem.z[chosen].shape[2:])
            return tuple(point)
        for i, leaf in enumerate(problem.z):
            if leaf.ndim > 1 and leaf.shape[1] == count:
                point[i] = tokens.reshape(*tokens.shape, *[1] * (leaf.ndim - 2))
                return tuple(point)
        raise ValueError(
            f"The attention is over {count} tokens; no tensor of the place has as many, the shapes are"
            f" {[tuple(leaf.shape) for leaf in problem.z]}. Explain the layer that makes the tokens,"
            " place=Layer('<embedding>', channel_dim=-1), or give grid=, for patches of a picture."
        )
