"""What the monitor leaves in a checkpoint, for a resumed run and for an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

CHECKPOINT_KEY = "lightning_explain"


@dataclass(frozen=True)
class SavedState:
    """Plain values.

    Args:
        validations: How many validations there were.
        probe: The identity of the probe set.
        scales: The color scales of pictures.
        module: The module's class, ``package.module:name``.
        settings: How explanations were made, and scored.
    """

    validations: int
    probe: str
    scales: Mapping[str, float]
    module: str
    settings: Mapping[str, Any]

    @classmethod
    def read(cls, checkpoint: Mapping[str, Any], name: str) -> SavedState | None:
        """What a monitor left in a checkpoint.

        Args:
            checkpoint: The checkpoint.
            name: The monitor's name.

        Returns:
            Its state; None if it was not there.
        """
        state = checkpoint.get(CHECKPOINT_KEY, {}).get(name)
        if state is None:
            return None
        return cls(
            state["validations"],
            state["probe"],
            dict(state["scales"]),
            state.get("module", ""),
            state.get("settings", {}),
        )

    def write(self, checkpoint: dict[str, Any], name: str) -> None:
        """Leave it in a checkpoint.

        Args:
            checkpoint: The checkpoint.
            name: The monitor's name.
        """
        checkpoint.setdefault(CHECKPOINT_KEY, {})[name] = asdict(self)

    def is_of(self, probe: str) -> bool:
        """Whether the run had a probe set; says so if it had another.

        Args:
            probe: The identity of the probe set.

        Returns:
            True or False.
        """
        if self.probe == probe:
            return True
        rank_zero_warn(
            f"The run is resumed with another probe set ({probe}) than it was saved with ({self.probe}): scores and"
            " pictures before and after cannot be compared."
        )
        return False
