"""Arguments of ``attribute`` for several copies of each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Repetition:
    """Which copies of which samples there are.

    Args:
        samples: The number of samples n.
        rows: The sample of each copy, (m,).
        drawn: The baseline of each copy, by number, (m,), where baselines are a distribution.
    """

    samples: int
    rows: Tensor
    drawn: Tensor | None = None

    def of(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for the copies: what belongs to a sample goes with each copy of it.

        Returns:
            Keyword arguments.
        """
        repeated = dict(arguments)
        for name, repeat in (
            ("additional_forward_args", self._each),
            ("target", self._target),
            ("baselines", self._baselines),
            ("feature_mask", self._each),
        ):
            if repeated.get(name) is not None:
                repeated[name] = repeat(repeated[name])
        return repeated

    def _each(self, given: Any) -> Any:  # noqa: ANN401
        if isinstance(given, tuple):
            return tuple(map(self._each, given))
        belongs = isinstance(given, Tensor) and given.ndim > 0 and len(given) == self.samples
        return given.index_select(0, self.rows.to(given.device)) if belongs else given

    def _target(self, target: Any) -> Any:  # noqa: ANN401
        if isinstance(target, list):
            return [target[row] for row in self.rows.tolist()] if len(target) == self.samples else target
        return target if isinstance(target, tuple) else self._each(target)

    def _baselines(self, given: Any) -> Any:  # noqa: ANN401
        if self.drawn is None:
            return self._each(given)
        if isinstance(given, tuple):
            return tuple(map(self._baselines, given))
        return given.index_select(0, self.drawn.to(given.device)) if isinstance(given, Tensor) else given
