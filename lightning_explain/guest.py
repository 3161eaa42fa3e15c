"""How to be a guest in somebody's training run: in its precision and on its device, failing together or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_explain.compat import averages_weights
from lightning_explain.inputs import Inputs, leaves, rebuild

if TYPE_CHECKING:
    from lightning.pytorch import Callback, Trainer

    from lightning_explain.probe import ProbeSet

T = TypeVar("T")


class Once:
    """Warns on rank zero, of each thing once."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def warn(self, message: str) -> None:
        """Warn, unless that was said before.

        Args:
            message: What is said.
        """
        if message not in self._said:
            self._said.add(message)
            rank_zero_warn(message)


def attempt(trainer: Trainer, work: Callable[[], T], on_error: Literal["raise", "warn"]) -> T | None:
    """Do something in the trainer's precision; all ranks agree on whether it failed before any raises.

    Args:
        trainer: The trainer. Every rank has to call this.
        work: What to do.
        on_error: Whether to raise what goes wrong on any rank, or to warn of it.

    Returns:
        What ``work`` gave; None if it failed on some rank.

    Raises:
        RuntimeError: If it failed on another rank only; what it raised itself is raised as it is.
    """
    result, failure = None, None
    try:
        with trainer.precision_plugin.forward_context():
            result = work()
    except Exception as error:  # noqa: BLE001  (whatever an explainer raises is the user's to decide on)
        failure = error
    if trainer.strategy.reduce_boolean_decision(failure is None, all=True):
        return result
    if on_error == "raise":
        raise failure or RuntimeError("AttributionMonitor failed on another rank; see its log.")
    reason = f"{type(failure).__name__}: {failure}" if failure else "another rank failed"
    rank_zero_warn(f"AttributionMonitor skips this validation, and the run goes on ({reason}).")
    return None


def as_fed(trainer: Trainer, inputs: Inputs) -> Inputs:
    """Inputs as the trainer would feed them to the model.

    Returns:
        The same on its device, in its precision.
    """
    device = trainer.strategy.root_device
    return trainer.precision_plugin.convert_input(  # type: ignore[no-any-return]
        rebuild(inputs, tuple(leaf.to(device) for leaf in leaves(inputs)))
    )


def move_before_averaging(trainer: Trainer, callback: Callback) -> None:
    """Let a callback run before the one that swaps averaged weights back, so that it sees what is saved."""
    callbacks = list(trainer.callbacks)  # type: ignore[attr-defined]
    averaging = [i for i, other in enumerate(callbacks) if averages_weights(other)]
    if averaging and averaging[0] < callbacks.index(callback):
        callbacks.remove(callback)
        callbacks.insert(averaging[0], callback)
        trainer.callbacks = callbacks  # type: ignore[attr-defined]  # a new list: Lightning is iterating over the old


@contextmanager
def misconfiguration(probe: ProbeSet) -> Iterator[None]:
    """Say of what fails in a block that it is the monitor's settings that do not fit.

    Args:
        probe: The samples that the model is run on in the block.

    Yields:
        None.

    Raises:
        MisconfigurationException: If something fails.
    """
    try:
        yield
    except (TypeError, ValueError, IndexError) as error:
        raise MisconfigurationException(f"AttributionMonitor: {error}") from error
    except RuntimeError as error:
        shapes = [tuple(leaf.shape) for leaf in leaves(probe.inputs)]
        raise MisconfigurationException(
            f"AttributionMonitor: the model cannot be run on the probe set, whose inputs have shapes {shapes} and"
            f" dtypes {[str(leaf.dtype) for leaf in leaves(probe.inputs)]}: {error}"
        ) from error
