"""DeepLift: differences from a reference, operator by operator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor

from lightning_explain.attribution.rules.mode import Kept, OperatorMode
from lightning_explain.attribution.rules.multipliers import MULTIPLIERS
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.pair import Multipliers, Pair
from lightning_explain.attribution.rules.pullback import Pullback, pulled

Body: TypeAlias = Callable[..., Any]

S = TypeVar("S")


@dataclass
class _Slot:
    """An operator of the run at the samples, waiting for what it gives at the reference."""

    call: Call
    positions: tuple[int, ...]
    inputs: list[Kept]
    output: Kept
    pullback: Pullback | None = None

    def fill(self, rule: Multipliers, then: Call, out0: Tensor, eps: float) -> None:
        now = self.call.replaced(self.positions, [kept.tensor for kept in self.inputs])
        pair = Pair(now, then, self.positions, self.output.tensor, out0, eps)
        self.pullback = rule.multipliers(pair)
        self.call, self.inputs, self.output = then, [], Kept(out0)  # the samples' are needed no more

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
        self._seen: deque[tuple[str, _Recorded]] = deque()
        self._current: _Recorded = False
        self._replaying = False

    def paired(self, at_samples: Callable[[], S], at_reference: Callable[[], Tensor]) -> tuple[S, Tensor]:
        """Run both.

        Args:
            at_samples: Runs the model at the samples, and gives the score (m,), perhaps beside other things.
            at_reference: Runs it at the reference, and gives the score (m,).

        Returns:
            What the two give: the first score's graph holds the multipliers, the other has none.

        Raises:
            ValueError: If the model takes another path at the reference.
        """
        self._seen.clear()
        try:
            with self:
                found = at_samples()
            with torch.no_grad(), self._replay(), self:
                reference = at_reference()
            if self._seen:
                raise ValueError(_other_path(self._seen[0][0], "nothing more"))
        finally:
            self.forget()
        return found, reference

    def concerns(self, call: Call) -> bool:
        """As at the samples.

        Returns:
            Whether the operator depended on the variable there.
        """
        if not self._replaying:
            concerned = super().concerns(call)
            self._seen.append((call.name, concerned))
            return concerned
        recorded = self._next(call)
        return recorded is not False

    def apply(self, rule: Multipliers, call: Call) -> Any:  # noqa: ANN401
        """Record the operator at the samples; find its multipliers at the reference.

        Returns:
            What the operator returns.
        """
        if self._replaying:
            return self._at_reference(rule, call)
        if rule.linear(call):
            return call.run()
        if not rule.fits(call):
            return self._without(call)
        with torch.no_grad():
            result = call.run()
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
        if isinstance(slot, _Slot):
            slot.fill(rule, call, result[0] if isinstance(result, tuple) else result, self.eps)
        return result

    def _next(self, call: Call) -> _Recorded:
        name, recorded = self._seen.popleft() if self._seen else ("nothing more", False)
        if name != call.name:
            raise ValueError(_other_path(name, call.name))
        self._current = recorded
        return recorded

    @contextmanager
    def _replay(self) -> Iterator[None]:
        self._replaying = True
        try:
            yield
        finally:
            self._replaying = False


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
