"""What several methods or metrics ask for alike is computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Remembering:
    """Something that keeps what was computed for it; copies of it, with whatever changed, begin with nothing."""

    _memory: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def remembered(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Compute something once.

        Args:
            key: What it is.
            compute: Makes it.

        Returns:
            What ``compute`` gave, the first time.
        """
        if key not in self._memory:
            self._memory[key] = compute()
        return self._memory[key]  # type: ignore[no-any-return]
