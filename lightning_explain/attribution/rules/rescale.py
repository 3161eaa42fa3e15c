"""DeepLift: differences from a reference, operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from lightning_explain.attribution.model import UNFIT
from lightning_explain.attribution.rules.mode import Kept, OperatorMode
from lightning_explain.attribution.rules.multipliers import MULTIPLIERS
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pair import Multipliers, Pair
from lightning_explain.attribution.rules.pullback import Pullback, pulled
from lightning_explain.attribution.rules.shared import Shared

Body: TypeAlias = Callable[..., Any]

S = TypeVar("S")

unwatched = torch._C.DisableTorchFunction  # noqa: SLF001
"""Around what only looks at tensors: to other modes around this one every look at a shape is a call."""


@dataclass
class _Slot:
    """An operator of the run at the samples, waiting for what it gives at the reference."""

    call: Call
    positions: tuple[int, ...]
    inputs: list[Kept]
    output: Kept
    pullback: Pullback | None = None

    def fill(self, rule: Multipliers, then: Call, out0: Tensor, eps: float, shared: Shared | None) -> None:
        with unwatched():
            if shared is not None:
                if out0.shape == self.output.tensor.shape:  # of no row, though it depends on the variable
                    raise ValueError("The model fills its batch up, or leaves none of it.")
                then, out0 = then.fitted(self.call, shared.spread_like), shared.spread_like(out0, self.output.tensor)
            now = self.call.replaced(self.positions, [kept.tensor for kept in self.inputs])
            pair = Pair(now, then, self.positions, self.output.tensor, out0, eps)
        self.pullback = rule.multipliers(pair)
        del self.call, self.inputs, self.output  # of both runs the rule has taken what it needs

    def pull(self, gradient: Tensor) -> tuple[Tensor, ...]:
        pullback, self.pullback = self.pullback, None  # what it holds is needed once
        if pullback is None:
            raise RuntimeError(
                "The backward pass of DeepLift began before the model had run on the baseline, or for a second time."
            )
        return pullback(gradient)


_Recorded: TypeAlias = bool | _Slot | Body
"""An operator at the samples: whether it depended on the variable, what waits, or what was watched in its place."""


class Rescale(OperatorMode[Multipliers]):
    """Gives the operators of a forward pass DeepLift's multipliers in place of their gradients.

    The model runs twice: at the samples with a graph, then at the reference without one. The operators of the two
    runs are paired by their order, so that nothing depends on where the batch dimension is, and the backward pass is
    that of the samples alone.

    Args:
        eps: Where an input differs by less, the gradient takes the place of the quotient.
    """

    def __init__(self, eps: float) -> None:
        super().__init__("DeepLift", MULTIPLIERS)
        self.eps = eps
        self._seen: list[tuple[str, _Recorded]] = []
        self._waiting: Iterator[tuple[str, _Recorded]] | None = None
        self._current: _Recorded = False
        self._shared: Shared | None = None
        self._shares = True

    def paired(
        self, at_samples: Callable[[], S], at_reference: Callable[[Shared | None], Tensor], shared: Shared | None = None
    ) -> tuple[S, Tensor]:
        """Run both.

        Args:
            at_samples: Runs the model at the samples, and gives the score (m,), perhaps beside other things.
            at_reference: Runs it at the reference, at the distinct rows alone if it is given them, and gives the score
                (m,) of all.
            shared: The distinct rows of the reference. They are tried: where the model merges the batch with another
                dimension, say, nothing tells which of them belongs to a sample, and all rows are run after all.

        Returns:
            What the two give: the first score's graph holds the multipliers, the other has none.

        Raises:
            ValueError: If the model takes another path at the reference.
        """
        try:
            with self:
                found = at_samples()
            if shared is not None and self._shares:
                with suppress(*UNFIT):
                    return found, self._replayed(at_reference, shared)
                self._shares = False  # nor will they with the next rows
            return found, self._replayed(at_reference, None)
        finally:
            self._seen.clear()
            self.forget()

    def _replayed(self, at_reference: Callable[[Shared | None], Tensor], shared: Shared | None) -> Tensor:
        self._waiting, self._shared = iter(self._seen), shared
        try:
            with torch.no_grad(), self:
                reference = at_reference(shared)
            if (left := next(self._waiting, None)) is not None:
                raise ValueError(_other_path(left[0], "nothing more"))
        finally:
            self._waiting = None
        return reference

    def concerns(self, call: Call) -> bool:
        """As at the samples.

        Returns:
            Whether the operator depended on the variable there.
        """
        if self._waiting is None:
            concerned = super().concerns(call)
            self._seen.append((call.name, concerned))
            return concerned
        return self._next(self._waiting, call) is not False

    def apply(self, rule: Multipliers, call: Call) -> Any:  # noqa: ANN401
        """Record the operator at the samples; find its multipliers at the reference.

        Returns:
            What the operator returns.
        """
        if self._waiting is not None:
            return self._at_reference(rule, call)
        if rule.linear(call):
            return call.run()
        if not rule.fits(call):
            return self._without(call)
        with torch.no_grad():
            result = call.run()
        with unwatched():
            value = result[0] if isinstance(result, tuple) else result
            bare = call.replaced(call.positions, [tensor.detach() for tensor in call.active])
            slot = _Slot(bare, call.positions, self.keep(call.active), self.keep([value])[0])
            self._seen[-1] = (call.name, slot)
            return _with_first(result, pulled(value, slot.pull, *call.active))

    def _without(self, call: Call) -> Any:  # noqa: ANN401
        if call.name not in self.compositions:
            self.warn(call.name)
            return call.run()
        body = self.compositions[call.name].body
        self._seen[-1] = (call.name, body)
        return self._opened(body, call)

    def _opened(self, body: Body, call: Call) -> Any:  # noqa: ANN401
        with self:
            return body(*call.args, **call.kwargs)

    def _at_reference(self, rule: Multipliers, call: Call) -> Any:  # noqa: ANN401
        slot = self._current
        if callable(slot):
            return self._opened(slot, call)
        result = call.run()
        if isinstance(slot, _Slot) and slot.pullback is None:
            slot.fill(rule, call, result[0] if isinstance(result, tuple) else result, self.eps, self._shared)
        return result

    def _next(self, waiting: Iterator[tuple[str, _Recorded]], call: Call) -> _Recorded:
        name, self._current = next(waiting, ("nothing more", False))
        if name != call.name:
            raise ValueError(_other_path(name, call.name))
        return self._current


def _other_path(at_samples: str, at_baseline: str) -> str:
    return (
        "DeepLift compares a sample with its baseline operator by operator, and the model takes another path for the"
        f" baseline: {at_samples!r} at the samples, {at_baseline!r} at the baseline. Use integrated gradients."
    )


def _with_first(result: Any, value: Tensor) -> Any:  # noqa: ANN401
    if not isinstance(result, tuple):
        return value
    parts = (value, *result[1:])
    return type(result)(parts) if hasattr(result, "n_fields") else parts
