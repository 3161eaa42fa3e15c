"""Every private attribute of Lightning that we read, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def validation_step_axis(trainer: Trainer) -> int:
    """The step at which Lightning writes the scalars of the validation that is ending.

    That is the number of optimizer steps by its own count (not ``trainer.global_step``, which differs
    by one, and by the number of optimizers under manual optimization), or the metric ``"step"``, if
    the user logs one in the validation. Ask in ``on_validation_end`` or ``on_test_end``.

    Returns:
        The step.
    """
    results = trainer._results  # noqa: SLF001
    logged = {} if results is None else results.metrics(on_step=False)["log"]
    if "step" in logged:
        return int(logged["step"])
    return int(trainer.fit_loop.epoch_loop._batches_that_stepped)  # noqa: SLF001


def averages_weights(callback: object) -> bool:
    """Whether a callback swaps averaged weights in for validation, and back in its epoch end.

    Returns:
        True for Lightning's ``WeightAveraging`` and what derives from it, from either namespace.
    """
    return any(cls.__name__ == "WeightAveraging" for cls in type(callback).__mro__)


def begins_run(trainer: Trainer) -> bool:
    """Whether the fit that is being set up begins a run, and does not go on with one.

    A resume begins one here, too: what was saved is loaded after ``setup``.

    Returns:
        False for another ``fit`` of a trainer that has trained already.
    """
    return trainer.global_step == 0
