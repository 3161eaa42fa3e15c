"""Making the module that a checkpoint's weights belong to."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule

from lightning_explain.auditing.importing import load_object

_REQUIRED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def require_named(checkpoint: Path, module: str | None, trust: bool) -> str:
    """The class that a file names, if it can be imported and the user trusts the file.

    Args:
        checkpoint: The file.
        module: What it names; None: nothing.
        trust: Whether it is the user's own.

    Returns:
        The class, ``package.module:Class``.

    Raises:
        ValueError: If the user has to name it.
    """
    if module is None:
        raise ValueError(
            f"{checkpoint} does not say of which class it is (no AttributionMonitor watched that run, or it was saved"
            " with weights only); name it, --model package.module:Class."
        )
    name = module.partition(":")[2]
    if module.startswith("__main__:") or "<locals>" in module:
        where = "in the script that ran" if module.startswith("__main__:") else "inside a function"
        raise ValueError(
            f"{checkpoint} is of {name!r}, which was defined {where}; name what can be imported, --model"
            f" your_script:{name.rpartition('.')[2]}."
        )
    if not trust:
        raise ValueError(
            f"{checkpoint} says that it is of {module}. What a file names is not imported, for that runs code: pass"
            f" --model {module} if that is the class that you expect, or --trust if the file is your own."
        )
    return module


def restore(checkpoint: Path, kept: Mapping[str, Any], module: str, *, trust: bool) -> LightningModule:
    """Make a module, and give it the weights of a checkpoint.

    Args:
        checkpoint: The file.
        kept: What it holds.
        module: ``package.module:Class``, or a function that makes an untrained module.
        trust: Whether all it holds may be unpickled.

    Returns:
        The module, on the CPU.

    Raises:
        ValueError: If the weights do not fit, or the checkpoint lacks what the class needs to be made.
        TypeError: If that is no LightningModule.
    """
    found = load_object(module)
    is_class = inspect.isclass(found) and issubclass(found, LightningModule)
    if is_class:
        _require_no_function(checkpoint, kept, trust)
        _require_arguments(found, kept, module)
    elif not inspect.isfunction(found):
        raise TypeError(f"{module} is no LightningModule, nor a function that makes one.")
    try:
        return _load(found, checkpoint, trust) if is_class else _filled(found(), kept, module)
    except RuntimeError as error:
        raise ValueError(f"The weights in {checkpoint} do not fit {module}: {error}") from error


def _require_no_function(checkpoint: Path, kept: Mapping[str, Any], trust: bool) -> None:
    if not trust and any(isinstance(of, Mapping) and "_instantiator" in of for of in kept.values()):
        raise ValueError(
            f"{checkpoint} was written by LightningCLI: it names the function that makes the module, and calling that"
            " may run any code. If the file is your own, pass --trust (trust=True); or pass a function that makes the"
            " untrained module, --model package.module:function."
        )


def _load(cls: type[LightningModule], checkpoint: Path, trust: bool) -> LightningModule:
    known = inspect.signature(cls.load_from_checkpoint).parameters
    settings: dict[str, Any] = {"weights_only": not trust} if "weights_only" in known else {}  # Lightning 2.6 and later
    return cls.load_from_checkpoint(checkpoint, map_location="cpu", **settings)


def _filled(made: object, kept: Mapping[str, Any], module: str) -> LightningModule:
    if not isinstance(made, LightningModule):
        raise TypeError(f"{module} gives {type(made).__name__}; expected a LightningModule.")
    made.configure_model()
    made.on_load_checkpoint(dict(kept))
    made.load_state_dict(kept["state_dict"])
    return made


def _require_arguments(cls: type[LightningModule], kept: Mapping[str, Any], module: str) -> None:
    held = kept.get("hyper_parameters")
    saved = {*(held if isinstance(held, Mapping) else ()), kept.get("hparams_name")}
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    missing = [p.name for p in parameters if p.kind in _REQUIRED and p.default is p.empty and p.name not in saved]
    if missing and "_instantiator" not in saved:
        raise ValueError(
            f"{module} cannot be made without {', '.join(missing)}, and the checkpoint does not hold"
            f" {'it' if len(missing) == 1 else 'them'}: call self.save_hyperparameters() in its __init__ before the"
            " training, or pass a function that makes the untrained module, --model package.module:function."
        )
