"""What a gate remembers of earlier validations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class History:
    """The validations so far, as far as ``best`` and ``for N validations`` ask.

    Args:
        best: The best value of each score that is compared with its best.
        streaks: At how many scored validations in a row, up to the last, an expression has held, by its text.
    """

    best: Mapping[str, float] = field(default_factory=dict)
    streaks: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The history as plain values.

        Returns:
            What a checkpoint, or JSON, can hold.
        """
        return {"best": dict(self.best), "streaks": dict(self.streaks)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | None) -> History:
        """The history that was saved.

        Returns:
            The history; an empty one for None.
        """
        return cls() if saved is None else cls(dict(saved["best"]), dict(saved["streaks"]))
