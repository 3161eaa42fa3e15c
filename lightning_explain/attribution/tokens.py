"""Tokens of a transformer, laid back to the grid of patches that they were cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from lightning_explain.inputs import Point

MOST_PREFIX = 8
"""Tokens that stand for no patch, at most: a class token, a distillation token, registers."""


@dataclass(frozen=True)
class TokenGrid:
    """How tokens lie in a picture.

    Args:
        prefix: Tokens in front that stand for no patch.
        sides: Patches along each side of the picture.
    """

    prefix: int
    sides: tuple[int, ...]

    @classmethod
    def find(cls, tokens: int, inputs: Point, sides: tuple[int, ...] | None = None) -> TokenGrid | None:
        """The grid of ``tokens`` tokens: square patches of the first input that is a picture.

        Args:
            tokens: Their number.
            inputs: The model's inputs (n, ...).
            sides: The grid's sides, where they are known; its tokens are the last ones.

        Returns:
            The grid; None where no picture can be cut into as many patches.

        Raises:
            ValueError: If ``sides`` hold more tokens than there are.
        """
        if sides is not None:
            prefix = tokens - _count(sides)
            if prefix < 0:
                raise ValueError(f"A grid of {sides} holds {_count(sides)} tokens; the layer has {tokens}.")
            return cls(prefix, tuple(sides))
        pictures = [tuple(leaf.shape[2:]) for leaf in inputs if leaf.ndim == 4]
        found = (cls._cut(tokens, picture) for picture in pictures)
        return next((grid for grid in found if grid is not None), None)

    @classmethod
    def _cut(cls, tokens: int, picture: tuple[int, ...]) -> TokenGrid | None:
        for prefix in range(MOST_PREFIX + 1):
            for patch in range(2, min(picture) + 1):
                sides = tuple(side // patch for side in picture)
                whole = all(side % patch == 0 for side in picture)
                if whole and _count(sides) == tokens - prefix > 1:
                    return cls(prefix, sides)
        return None

    def lay(self, tokens: Tensor) -> Tensor:
        """Lay tokens (n, channels, tokens) out.

        Returns:
            A picture (n, channels, sides...); the prefix is dropped.
        """
        return tokens[:, :, self.prefix :].reshape(*tokens.shape[:2], *self.sides)


def _count(sides: Sequence[int]) -> int:
    count = 1
    for side in sides:
        count *= side
    return count
