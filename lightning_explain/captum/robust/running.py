"""Raw inputs, what a model takes, attacks on either, and the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_explain.captum.lending import Call, apart
from lightning_explain.captum.repeating import Repetition


@dataclass(frozen=True, eq=False)
class Prepared:
    """Inputs before and after the preprocessing.

    Args:
        raw: What the user has.
        ready: What the model takes.
        prepare: Makes one of the other.
    """

    raw: Any
    ready: Any
    prepare: Callable[..., Any] | None

    @classmethod
    def of(cls, inputs: Any, prepare: Callable[..., Any] | None) -> Prepared:  # noqa: ANN401
        """Preprocess inputs.

        Returns:
            The inputs, before and after it.
        """
        return cls(inputs, inputs if prepare is None else prepare(inputs), prepare)

    def attacked(self, attack: Callable[..., Any], before: bool, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
        """Attack the inputs, in the user's surroundings: a random attack goes on from the user's random state.

        Args:
            attack: The attack.
            before: Whether it perturbs what comes before the preprocessing.
            arguments: What it is passed.

        Returns:
            What the attack gives, and what the model takes.
        """
        perturbed = attack(self.raw if before else self.ready, **arguments)
        return perturbed, self.prepare(perturbed) if before and self.prepare is not None else perturbed


def runner(function: Callable[..., Any], additional: tuple[Any, ...]) -> Callable[[Any, int], Any]:
    """A function that runs the model on several batches at once, inside :func:`~lightning_explain.captum.lending.kept`.

    Args:
        function: The forward function.
        additional: What it is passed after the inputs.

    Returns:
        (inputs, how many batches they are) -> outputs.
    """
    call = Call(function, additional)

    def run(inputs: Any, batches: int) -> Any:  # noqa: ANN401
        with apart(function):
            return call.repeated(Repetition(batches, in_place=False)).outputs(inputs)

    return run
