"""The result of explaining."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from lightning_explain.attribution.place import Place
from lightning_explain.inputs import Inputs, Point


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attributions of a batch of samples.

    Args:
        point: Signed tensors (n, ...), one for each tensor that was explained: of its shape, or for a
            coarse map of one channel, (n, 1, positions...). Detached.
        names: What these tensors are called: inputs, or layers.
        method: The method's name.
        place: Where the attributions live. For a coarse map upsampled to the input, that is the input.
        target: The explained output indices (n, k), or None for a model with one number per sample.
        outputs: What the model gave for the samples, (n, ...).
        delta: The convergence delta of each sample (n,), sum of attributions - (score - score at the
            baseline), for complete methods; its size says how far to trust them, 0 is exact.
        span: The score - score at the baseline (n,), for complete methods: the scale of ``delta``.
        keyed: Whether the inputs were a dict.
        coarse: What a method gave before it was upsampled; None where nothing was.
        coefficients: The attributions of the features (n, F), for methods that perturb features: those of the
            feature mask in the order of their ids, or else of positions.
    """

    point: Point = field(repr=False)
    names: tuple[str, ...]
    method: str
    place: Place
    target: Tensor | None = field(repr=False)
    outputs: Tensor = field(repr=False)
    delta: Tensor | None = field(default=None, repr=False)
    span: Tensor | None = field(default=None, repr=False)
    keyed: bool = False
    coarse: Point | None = field(default=None, repr=False)
    coefficients: Tensor | None = field(default=None, repr=False)

    @property
    def values(self) -> Inputs:
        """The attributions as the inputs came: a tensor, a tuple, or a dict (of those that can be explained)."""
        if self.keyed:
            return dict(zip(self.names, self.point, strict=True))
        return self.point[0] if len(self.point) == 1 else self.point
