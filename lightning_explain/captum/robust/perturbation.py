"""What attacks are, to who passes them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Perturbation:
    """Base of attacks: calling one is calling its method ``perturb(inputs, ...)``."""

    perturb: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Perturb inputs.

        Returns:
            What ``perturb`` gives: perturbed inputs in the form of the inputs.
        """
        return self.perturb(*args, **kwargs)
