"""What a run, and its settings, must be like for the monitor; said before the training begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_explain.probe import ProbeSet

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

UNSUPPORTED_STRATEGIES = ("FSDPStrategy", "DeepSpeedStrategy")


def check_settings(
    probe: object,
    *,
    name: str,
    every_n_validations: int,
    on_error: str,
    max_pictures: int,
    per_class: bool,
    best: tuple[str, str] | None,
) -> None:
    """Check what a user gave the monitor; the arguments are the monitor's.

    Raises:
        MisconfigurationException: If something does not fit.
    """
    labelled = isinstance(probe, ProbeSet) and probe.label is not None and not probe.label.is_floating_point()
    named = best is None or (isinstance(best, tuple) and len(best) == 2 and best[1] in {"min", "max"})
    problems = {
        f"probe must be a ProbeSet, got {type(probe).__name__}; see ProbeSet.from_dataset": isinstance(probe, ProbeSet),
        f"every_n_validations must be at least 1, got {every_n_validations}": every_n_validations >= 1,
        f"on_error must be 'raise' or 'warn', got {on_error!r}": on_error in {"raise", "warn"},
        f"name must be a word without '/', got {name!r}": bool(name) and "/" not in name,
        f"max_pictures must not be negative, got {max_pictures}": max_pictures >= 0,
        "per_class needs a probe set with class labels; pass label= to it": labelled or not per_class,
        f"best must be the name of a metric and 'min' or 'max', such as ('val_acc', 'max'), got {best!r}": named,
    }
    for problem, fine in problems.items():
        if not fine:
            raise MisconfigurationException(f"AttributionMonitor: {problem}.")


def require_whole_parameters(trainer: Trainer) -> None:
    """Refuse strategies that shard parameters.

    Raises:
        MisconfigurationException: If the trainer has one.
    """
    found = _class_names(trainer.strategy) & set(UNSUPPORTED_STRATEGIES)
    if found:
        raise MisconfigurationException(
            f"AttributionMonitor needs whole parameters on every device; {found.pop()} shards them. Use DDP."
        )


def require_own_name(trainer: Trainer, name: str) -> None:
    """Refuse two monitors with one name.

    Raises:
        MisconfigurationException: If the trainer has them.
    """
    same = [c for c in trainer.callbacks if "AttributionMonitor" in _class_names(c) and c.name == name]  # type: ignore[attr-defined]
    if len(same) > 1:
        raise MisconfigurationException(
            f"{len(same)} AttributionMonitors are called {name!r}: Lightning would average their scores."
            " Give each its own name=."
        )


def require_scores(shown: Sequence[str], names: Sequence[str], prefix: str) -> None:
    """Refuse to show scores that there are not.

    Args:
        shown: What the progress bar is to show, without the prefix.
        names: The full names of all scores.
        prefix: What these begin with.

    Raises:
        MisconfigurationException: If one is not among them.
    """
    unknown = [name for name in shown if f"{prefix}/{name}" not in names]
    if unknown:
        raise MisconfigurationException(f"prog_bar names no score: {unknown}. Known: {', '.join(names)}.")


def remarks(trainer: Trainer, stage: str) -> Iterator[str]:
    """What a user may not have meant.

    Args:
        trainer: The trainer.
        stage: What is set up: ``"fit"``, ``"validate"`` or ``"test"``.

    Yields:
        Sentences.
    """
    if stage == "fit" and not trainer.enable_validation:
        yield "This run has no validation, so AttributionMonitor never explains anything."
    if not trainer.loggers:
        yield "The trainer has no logger: attributions are scored, and no picture is written."


def require_best(watched: tuple[str, str] | None) -> None:
    """Refuse to compare with the best validation where nobody says which that is.

    Raises:
        MisconfigurationException: If there is no metric to watch.
    """
    if watched is None:
        raise MisconfigurationException(
            "AttributionMonitor: drift_from_best needs to know which validation is the best; pass"
            " best=('val_acc', 'max'), or give the trainer a checkpoint callback that monitors a metric."
        )


def watched_by_checkpoint(trainer: Trainer) -> tuple[str, str] | None:
    """The metric that the trainer's first checkpoint callback watches.

    Returns:
        Its name and ``"min"`` or ``"max"``; None if there is none.
    """
    saving = trainer.checkpoint_callback
    monitor, mode = getattr(saving, "monitor", None), getattr(saving, "mode", None)
    return (monitor, mode) if monitor and mode else None


def _class_names(thing: object) -> set[str]:
    return {cls.__name__ for cls in type(thing).__mro__}
