"""The layers of a model: the modules that own parameters, in the order in which they run."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import is_continuous, leaves, take

ROOT = "<model>"
STATISTICS = frozenset({"running_mean", "running_var"})

Layers = Mapping[str, tuple[nn.Module, ...]]
"""The modules of each layer, by its name, in the order in which layers begin to run."""


def parameter_layers(problem: Problem) -> Layers:
    """Find the modules that own parameters (or running statistics) themselves, in the order in which they begin to run.

    What is never called itself (the projection inside a fused attention, a list of parameters, parametrisations)
    belongs to the nearest module around it that is. The model comes first: what it owns itself, class tokens and
    embeddings of positions, is used near the input. A parameter that modules share belongs to the first of them.
    It costs one row, once for each problem.

    Args:
        problem: A problem of the model.

    Returns:
        The layers; what the model itself owns is called ``<model>``.
    """
    return problem.remembered("layers", lambda: _layers(problem))


def _layers(problem: Problem) -> Layers:
    reached = _reached(problem)
    homes: dict[str, list[nn.Module]] = {name: [] for name in reached}
    for name, module in problem.model.named_modules():
        homes[_home(_clean(name), homes)].append(module)
    seen: set[int] = set()
    return {name or ROOT: tuple(modules) for name, modules in homes.items() if _owns_anything_new(modules, seen)}


def _reached(problem: Problem) -> list[str]:
    # In order, each once, the model itself first: a forward of the user's own may go past its call.
    order: dict[str, None] = {"": None}
    names = {_clean(name): module for name, module in problem.model.named_modules()}
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: order.setdefault(name)) for name, module in names.items()
    ]
    first = torch.zeros(1, dtype=torch.long, device=leaves(problem.inputs)[0].device)
    try:
        with torch.no_grad():
            problem.forward(problem.model, take(problem.inputs, first))
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def _clean(name: str) -> str:
    # As users know it, also where parts are compiled; a parametrisation is part of what it parametrises.
    parts = [part for part in name.split(".") if part not in {"", "_orig_mod"}]
    return ".".join(parts[: parts.index("parametrizations")] if "parametrizations" in parts else parts)


def _home(name: str, homes: Mapping[str, object]) -> str:
    while name not in homes:
        name = name.rpartition(".")[0]
    return name


def _owns_anything_new(modules: list[nn.Module], seen: set[int]) -> bool:
    own = {id(p) for module in modules for p in module.parameters(recurse=False) if is_continuous(p)}
    own |= {id(b) for module in modules for name, b in module.named_buffers(recurse=False) if name in STATISTICS}
    new = own - seen
    seen |= new
    return bool(new)
