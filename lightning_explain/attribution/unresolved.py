"""A target that is resolved from the outputs of the samples' own pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightning_explain.attribution.target import resolve_target
from lightning_explain.targets import Target


@dataclass(eq=False)
class Unresolved:
    """What is explained, as the user wrote it, until each sample has gone through the model once.

    Args:
        target: What is explained.
        label: Class labels (n,), for ``target="label"``.
        samples: The number of samples n.
    """

    target: Target
    label: Tensor | None
    samples: int
    _known: set[int] = field(default_factory=set, init=False, repr=False)
    _outputs: Tensor | None = field(default=None, init=False, repr=False)
    _index: Tensor | None = field(default=None, init=False, repr=False)

    def index(self, outputs: Tensor, rows: Tensor) -> Tensor | None:
        """The target of some samples: resolved from their outputs the first time, remembered from then on.

        Args:
            outputs: What the model gives for ``rows``, (m, ...); of the samples themselves, the first time.
            rows: The samples (m,).

        Returns:
            Indices (m, k), or None (see :func:`~lightning_explain.attribution.target.resolve_target`).
        """
        asked = rows.tolist()
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (a mode that watches the model must not see this)
            if not self._known.issuperset(asked):
                self._learn(outputs.detach(), rows)
                self._known.update(asked)
            return None if self._index is None else self._index.index_select(0, rows)

    @property
    def outputs(self) -> Tensor | None:
        """What the model gave for the samples, (n, ...); None where some have not been seen."""
        return self._outputs if len(self._known) == self.samples else None

    @property
    def indices(self) -> Tensor | None:
        """The targets (n, k), or None, once all samples have been seen."""
        return self._index

    def _learn(self, given: Tensor, rows: Tensor) -> None:
        index = _resolved(self.target, given, self.label, rows, self.samples)
        if self._outputs is None:
            self._outputs = given.new_empty(self.samples, *given.shape[1:])
            self._index = None if index is None else index.new_empty(self.samples, index.shape[1])
        self._outputs.index_copy_(0, rows, given)
        if self._index is not None and index is not None:
            self._index.index_copy_(0, rows, index)


def _resolved(target: Target, given: Tensor, label: Tensor | None, rows: Tensor, samples: int) -> Tensor | None:
    if isinstance(target, str) and target == "predicted":
        return resolve_target(target, given)
    # All samples' targets at once, so that a message names the sample: the outputs' shape is all that they ask for.
    every = resolve_target(target, given[:1].expand(samples, *given.shape[1:]), label)
    return None if every is None else every.index_select(0, rows)
