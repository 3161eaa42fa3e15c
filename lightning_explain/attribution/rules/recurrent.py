"""Recurrent layers, step by step in simpler operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_explain.attribution.rules.operator import Call

State: TypeAlias = tuple[Tensor, ...]
Cell: TypeAlias = Callable[..., State]
"""(step's input, state, weights...) -> the next state, the output first."""


def is_padded(call: Call) -> bool:
    """Whether the sequences are one padded tensor, not packed.

    Returns:
        True for a tensor.
    """
    return len(call.args) > 2 and isinstance(call.args[2], list)


def lstm(input: Tensor, hx: State, params: list[Tensor], *settings: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: A002
    """A stack of long short-term memories; arguments as ``torch.lstm``.

    Returns:
        The outputs, the last hidden and the last cell states.
    """
    out, (hidden, cell) = _layers(_lstm_step, input, tuple(hx), params, *settings)
    return out, hidden, cell


def gru(input: Tensor, hx: Tensor, params: list[Tensor], *settings: Any) -> tuple[Tensor, Tensor]:  # noqa: A002
    """A stack of gated recurrent units; arguments as ``torch.gru``.

    Returns:
        The outputs and the last hidden states.
    """
    out, (hidden,) = _layers(_gru_step, input, (hx,), params, *settings)
    return out, hidden


def rnn_tanh(input: Tensor, hx: Tensor, params: list[Tensor], *settings: Any) -> tuple[Tensor, Tensor]:  # noqa: A002
    """A stack of plain recurrent layers with tanh; arguments as ``torch.rnn_tanh``.

    Returns:
        The outputs and the last hidden states.
    """
    out, (hidden,) = _layers(_tanh_step, input, (hx,), params, *settings)
    return out, hidden


def rnn_relu(input: Tensor, hx: Tensor, params: list[Tensor], *settings: Any) -> tuple[Tensor, Tensor]:  # noqa: A002
    """A stack of plain recurrent layers with ReLU; arguments as ``torch.rnn_relu``.

    Returns:
        The outputs and the last hidden states.
    """
    out, (hidden,) = _layers(_relu_step, input, (hx,), params, *settings)
    return out, hidden


def lstm_cell(input: Tensor, hx: State, *weights: Tensor) -> State:  # noqa: A002
    """One step of a long short-term memory; arguments as ``torch.lstm_cell``.

    Returns:
        The hidden and the cell state.
    """
    return _lstm_step(input, tuple(hx), *_ordered(weights))


def gru_cell(input: Tensor, hx: Tensor, *weights: Tensor) -> Tensor:  # noqa: A002
    """One step of a gated recurrent unit; arguments as ``torch.gru_cell``.

    Returns:
        The hidden state.
    """
    return _gru_step(input, (hx,), *_ordered(weights))[0]


def rnn_tanh_cell(input: Tensor, hx: Tensor, *weights: Tensor) -> Tensor:  # noqa: A002
    """One step of a plain recurrent layer with tanh; arguments as ``torch.rnn_tanh_cell``.

    Returns:
        The hidden state.
    """
    return _tanh_step(input, (hx,), *_ordered(weights))[0]


def rnn_relu_cell(input: Tensor, hx: Tensor, *weights: Tensor) -> Tensor:  # noqa: A002
    """One step of a plain recurrent layer with ReLU; arguments as ``torch.rnn_relu_cell``.

    Returns:
        The hidden state.
    """
    return _relu_step(input, (hx,), *_ordered(weights))[0]


def _layers(
    cell: Cell,
    sequence: Tensor,
    state: State,
    params: list[Tensor],
    has_biases: bool,
    num_layers: int,
    _dropout: float,
    _train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, State]:
    steps = list((sequence.transpose(0, 1) if batch_first else sequence).unbind(0))
    directions = 2 if bidirectional else 1
    width = len(params) // (num_layers * directions)
    last: list[State] = []
    for layer in range(num_layers):
        outs = []
        for direction in range(directions):
            number = layer * directions + direction
            weights = _ordered(params[number * width : (number + 1) * width], has_biases)
            first = tuple(tensor[number] for tensor in state)
            out, final = _run(cell, steps, first, weights, backwards=direction == 1)
            outs.append(out)
            last.append(final)
        steps = [torch.cat(parts, dim=-1) if bidirectional else parts[0] for parts in zip(*outs, strict=True)]
    whole = torch.stack(steps)
    final_states = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
    return whole.transpose(0, 1) if batch_first else whole, final_states


def _run(
    cell: Cell, steps: list[Tensor], state: State, weights: list[Any], *, backwards: bool
) -> tuple[list[Tensor], State]:
    outs = []
    for step in reversed(steps) if backwards else steps:
        state = cell(step, state, *weights)
        outs.append(state[0])
    return (outs[::-1] if backwards else outs), state


def _ordered(weights: list[Tensor] | tuple[Tensor, ...], has_biases: bool = True) -> list[Any]:
    # Always a place for biases: of the input and of the state, with the weights in front and a projection behind.
    rest = list(weights[2:])
    biases = [rest.pop(0), rest.pop(0)] if has_biases and len(rest) > 1 else [None, None]
    return [*weights[:2], *biases, *rest]


def _lstm_step(
    step: Tensor,
    state: State,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    projection: Tensor | None = None,
) -> State:
    hidden, cell = state
    gates = F.linear(step, w_ih, b_ih) + F.linear(hidden, w_hh, b_hh)
    keep_in, forget, new, keep_out = gates.chunk(4, dim=-1)
    cell = forget.sigmoid() * cell + keep_in.sigmoid() * new.tanh()
    hidden = keep_out.sigmoid() * cell.tanh()
    return (hidden if projection is None else F.linear(hidden, projection)), cell


def _gru_step(
    step: Tensor, state: State, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
) -> State:
    (hidden,) = state
    reset, update, new = F.linear(step, w_ih, b_ih).chunk(3, dim=-1)
    reset_h, update_h, new_h = F.linear(hidden, w_hh, b_hh).chunk(3, dim=-1)
    update = (update + update_h).sigmoid()
    new = (new + (reset + reset_h).sigmoid() * new_h).tanh()
    return (new + update * (hidden - new),)


def _tanh_step(
    step: Tensor, state: State, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
) -> State:
    return ((F.linear(step, w_ih, b_ih) + F.linear(state[0], w_hh, b_hh)).tanh(),)


def _relu_step(
    step: Tensor, state: State, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None, b_hh: Tensor | None
) -> State:
    return ((F.linear(step, w_ih, b_ih) + F.linear(state[0], w_hh, b_hh)).relu(),)
