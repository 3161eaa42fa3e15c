"""What a model computes before it reaches a layer, done once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from lightning_explain.attribution.interception import find_layer, meant_run
from lightning_explain.attribution.tree import map_tensors, tensors
from lightning_explain.inputs import Inputs, leaves, take

if TYPE_CHECKING:
    from lightning_explain.attribution.place import Layer
    from lightning_explain.attribution.question import Question

Run: TypeAlias = tuple[nn.Module, Any]
"""A module, and what its forward function gave in one of its runs."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """The modules that are done when a layer is reached, and what they gave for some samples.

    In another pass they give that again, at no cost; what no module computes is computed as ever, of all rows. So
    whatever crosses the layer (a skip connection, a mask, the size of the batch) is there.

    Args:
        runs: In their order, outermost modules alone: those inside do not run again.
        samples: The number of samples that they saw.
        each: Whether every row is given what is its sample's; otherwise all are given the first sample's, which takes
            neither time nor memory, and is right where nothing that a module gave crosses the layer.
    """

    runs: list[Run] = field(repr=False)
    samples: int
    each: bool

    @classmethod
    def of(cls, problem: Question, layers: Sequence[Layer], samples: int, *, each: bool) -> Prefix | None:
        """Run the model for the first samples, and keep what leads up to the first of some layers.

        Args:
            problem: Whose model and samples.
            layers: The layers.
            samples: How many samples, taken again from the first on where there are fewer.
            each: As above.

        Returns:
            The prefix; None where a layer that runs several times would be counted otherwise without it.
        """
        rows = torch.arange(samples, device=leaves(problem.inputs)[0].device) % problem.samples
        runs = _recorded(problem, layers, take(problem.inputs, rows))
        return None if runs is None else cls(runs, samples, each)

    @property
    def bytes(self) -> int:
        """The memory that it takes."""
        return sum(tensor.nbytes for _, tree in self.runs for tensor in tensors(tree, every=True))

    @contextmanager
    def skipped(self, rows: Tensor) -> Iterator[None]:
        """Do without the prefix, in one forward pass.

        Args:
            rows: The samples that the model is given (m,).

        Yields:
            None; leave the block after the pass.
        """
        waiting: dict[nn.Module, deque[Any]] = {}
        for module, tree in self.runs:
            waiting.setdefault(module, deque()).append(tree)

        def again(module: nn.Module) -> Callable[..., Any]:
            forward, left = module.forward, waiting[module]

            def given(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                if not left:  # a run behind the layer
                    return forward(*args, **kwargs)
                return map_tensors(left.popleft(), lambda tensor: self._for(tensor, rows), every=True)

            return given

        with _forwards({module: again(module) for module in waiting}):
            yield

    def _for(self, tensor: Tensor, rows: Tensor) -> Tensor:
        if tensor.ndim == 0 or tensor.shape[0] != self.samples:
            return tensor  # of no sample: an embedding of positions, say
        return tensor.index_select(0, rows) if self.each else tensor[:1].expand(len(rows), *tensor.shape[1:])


def _recorded(problem: Question, layers: Sequence[Layer], inputs: Inputs) -> list[Run] | None:
    done: list[Run] = []
    entered: Counter[nn.Module] = Counter()
    wanted = {(find_layer(problem.model, layer.name), layer.of, meant_run(problem, layer)) for layer in layers}
    reached: set[nn.Module] = set()

    def watch(module: nn.Module) -> Callable[..., Any]:
        forward = module.forward

        def recording(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if reached:
                return forward(*args, **kwargs)
            run, before = entered[module], len(done)
            entered[module] += 1
            if (module, "input", run) in wanted:
                reached.add(module)
            given = forward(*args, **kwargs)
            if not reached and _is_lasting(given):
                # A clone, for what follows may work in place on it; without the modules inside, which are done too.
                done[before:] = [(module, map_tensors(given, Tensor.clone, every=True))]
            if not reached and (module, "output", run) in wanted:
                reached.add(module)
            return given

        return recording

    with torch.no_grad(), _forwards({module: watch(module) for module in problem.model.modules() if _is_open(module)}):
        problem.forward(problem.model, inputs)
    # Inside a module that is done a layer does not run again: the run that is meant would have another number.
    again = Counter(module for module, _ in done)
    again.update(module for module, of, _ in wanted if of == "input" and module in reached)
    return done if reached and all(again[module] == entered[module] for module, _, _ in wanted) else None


@contextmanager
def _forwards(replaced: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    # Hooks cannot keep a module from running. An attribute of the module itself goes before its class's function.
    before = {module: vars(module).get("forward") for module in replaced}
    try:
        for module, forward in replaced.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module, own in before.items():
            vars(module).pop("forward", None) if own is None else vars(module).update(forward=own)


def _is_lasting(given: Any) -> bool:  # noqa: ANN401
    # Whether it can be given again: an iterator is used up, and what a cache of somebody's holds is written to.
    if isinstance(given, (tuple, list)):
        return all(map(_is_lasting, given))
    if isinstance(given, MutableMapping):
        return all(map(_is_lasting, given.values()))
    if isinstance(given, Tensor):
        return given.layout == torch.strided and not given.is_nested
    return given is None or isinstance(given, (bool, int, float, str))


def _is_open(module: nn.Module) -> bool:
    return not isinstance(module, torch.jit.ScriptModule)  # its functions are not Python's
