"""Reading what a run left behind: a checkpoint, and the probe set that it was judged on. Both may be anybody's."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule

from lightning_explain.auditing.importing import load_object
from lightning_explain.auditing.restoring import require_named, restore
from lightning_explain.gate import Gate, History
from lightning_explain.probe import ProbeSet
from lightning_explain.registry import unknown
from lightning_explain.saved_state import CHECKPOINT_KEY
from lightning_explain.settings import Settings

_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    AttributeError,
    ImportError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_VERSION = "pytorch-lightning_version"
_BEGINNINGS = (b"PK", b"\x80")  # a zip file; a pickle, in old files
_EXPECTED = "Expected a checkpoint of a LightningModule, as trainer.save_checkpoint and ModelCheckpoint write it."


@dataclass(frozen=True)
class Watched:
    """What a monitor wrote into a checkpoint.

    Args:
        probe: The identity of its probe set.
        settings: How it explained and scored; None in checkpoints of versions that did not write it.
    """

    probe: str
    settings: Settings | None

    def differences(self, probe: ProbeSet, settings: Settings) -> Iterator[str]:
        """What an audit did in another way than the monitor.

        Args:
            probe: The audit's probe set.
            settings: The audit's settings.

        Yields:
            Sentences.
        """
        if self.probe != probe.identity:
            yield f"The run had another probe set ({self.probe}) than this ({probe.identity})."
        if self.settings is None:
            yield "The checkpoint does not say how the run explained; methods and metrics are as they come here."
        else:
            yield from settings.differences(self.settings)


@dataclass(frozen=True)
class Checkpoint:
    """What is read of a checkpoint.

    Args:
        model: The module, with the checkpoint's weights.
        step: The training step at which it was saved.
        history: What the run's gates knew before the validation that is judged now. The best values are as they were
            saved: that of the checkpoint itself is among them.
        monitors: What each monitor of the run wrote down, by its name.
    """

    model: LightningModule
    step: int
    history: History
    monitors: Mapping[str, Watched]

    def monitor_of(self, gate: Gate, name: str | None = None) -> str:
        """The name of the monitor that a gate asks.

        Args:
            gate: The gate.
            name: What the user says; None: found out.

        Returns:
            The name; "attribution" where the run had no monitor.

        Raises:
            ValueError: If the run had no such monitor, or the gate asks several.
        """
        if name is not None:
            if self.monitors and name not in self.monitors:
                raise ValueError(unknown("monitor in the checkpoint", name, self.monitors))
            return name
        asked = {condition.score.partition("/")[0] for condition in gate.conditions}
        named = [monitor for monitor in self.monitors if monitor in asked]
        if len(named) > 1:
            raise ValueError(f"The gate asks several monitors, {', '.join(named)}; audit the scores of each by itself.")
        return next(iter(named or self.monitors), "attribution")

    def settings_of(self, name: str) -> Settings:
        """How a monitor explained and scored.

        Args:
            name: The monitor.

        Returns:
            Its settings; the usual ones where they are not known.
        """
        watched = self.monitors.get(name)
        return Settings() if watched is None or watched.settings is None else watched.settings

    def differences(self, name: str, probe: ProbeSet, settings: Settings) -> Iterator[str]:
        """What an audit did in another way than a monitor.

        Args:
            name: The monitor; one that the run did not have has nothing to compare with.
            probe: The audit's probe set.
            settings: The audit's settings.

        Yields:
            Sentences.
        """
        if name in self.monitors:
            yield from self.monitors[name].differences(probe, settings)


def load_checkpoint(checkpoint: Path, module: str | None = None, *, trust: bool = False) -> Checkpoint:
    """Load a Lightning checkpoint on the CPU.

    Args:
        checkpoint: The file.
        module: The class, as ``package.module:Class``, or a function that makes an untrained module; None: the class
            that the monitor wrote into the checkpoint, if it is trusted.
        trust: Import what the file names, and unpickle whatever it holds; both may run code. Only for files of your
            own.

    Returns:
        The module, its step, and what the run wrote down.

    Raises:
        ValueError: If the file holds no Lightning checkpoint, more than plain values, or weights that do not fit the
            class; or nobody says which class it is of.
        TypeError: If that is no LightningModule.
    """
    kept = _read(checkpoint, trust)
    written = next((str(state["module"]) for _, state in _states(kept) if "module" in state), None)
    model = restore(checkpoint, kept, module or require_named(checkpoint, written, trust), trust=trust)
    return Checkpoint(model, _whole(kept.get("global_step")), _history(kept), _monitors(kept))


def load_probe(source: str) -> ProbeSet:
    """Load a probe set from a file, or make it by a function.

    Args:
        source: A file that :meth:`ProbeSet.save` wrote, or ``package.module:function``; it is called without arguments.

    Returns:
        The probe set.

    Raises:
        ValueError: If the file holds no probe set.
        TypeError: If what the function gives is no probe set.
    """
    if Path(source).exists() or ":" not in source:
        try:
            return ProbeSet.load(Path(source))
        except (EOFError, LookupError, OSError) as error:
            raise ValueError(f"{source} holds no probe set that ProbeSet.save wrote ({error}).") from error
    made = load_object(source)
    probe = made() if callable(made) else made
    if not isinstance(probe, ProbeSet):
        raise TypeError(f"{source} gives {type(probe).__name__}; expected a ProbeSet.")
    return probe


def _read(checkpoint: Path, trust: bool) -> Mapping[str, Any]:
    if not checkpoint.is_file():
        raise ValueError(f"There is no file {checkpoint} to read a checkpoint from.")
    with checkpoint.open("rb") as file:
        begins = file.read(2)
    if not begins.startswith(_BEGINNINGS):
        raise ValueError(f"{checkpoint} holds nothing that torch.save wrote. {_EXPECTED}")
    try:
        kept = torch.load(checkpoint, map_location="cpu", weights_only=not trust)
    except _UNREADABLE as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign is None or trust:
            raise ValueError(f"{checkpoint} cannot be read: {error}. {_EXPECTED}") from error
        raise ValueError(
            f"{checkpoint} holds more than tensors and plain values ({foreign[1]}), and unpickling that may run any"
            " code. If the file is your own, pass --trust (trust=True)."
        ) from error
    if not isinstance(kept, Mapping) or _VERSION not in kept or not isinstance(kept.get("state_dict"), Mapping):
        weights = isinstance(kept, Mapping) and kept and all(isinstance(of, torch.Tensor) for of in kept.values())
        raise ValueError(f"{checkpoint} holds {'weights alone' if weights else _kind(kept)}. {_EXPECTED}")
    return kept


def _kind(kept: object) -> str:
    return "a dictionary without Lightning's entries" if isinstance(kept, Mapping) else f"a {type(kept).__name__}"


def _monitors(kept: Mapping[str, Any]) -> dict[str, Watched]:
    return {
        name: Watched(str(state.get("probe")), Settings.from_dict(state.get("settings")))
        for name, state in _states(kept)
    }


def _states(kept: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((str(name), _mapping(state)) for name, state in _mapping(kept.get(CHECKPOINT_KEY)).items())


def _history(kept: Mapping[str, Any]) -> History:
    # Callbacks of others may have a "history", too.
    histories = [_mapping(_mapping(state).get("history")) for state in _mapping(kept.get("callbacks")).values()]
    best: dict[str, float] = {}
    streaks: dict[str, int] = {}
    for history in histories:
        best |= {score: of for score, of in _items(history, "best") if isinstance(of, (int, float))}
        # The run counted the validation at which it saved, which is now judged again.
        before = {text: _whole(count, 1) - 1 for text, count in _items(history, "streaks")}
        streaks |= {text: min(count, streaks.get(text, count)) for text, count in before.items()}
    return History(best, streaks)


def _items(history: Mapping[str, Any], entry: str) -> Iterable[tuple[str, Any]]:
    return _mapping(history.get(entry)).items()


def _mapping(of: object) -> Mapping[str, Any]:
    return of if isinstance(of, Mapping) else {}


def _whole(of: object, least: int = 0) -> int:
    return max(of, least) if isinstance(of, int) else least
