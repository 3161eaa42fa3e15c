"""What is written out in simpler operators has the operator's value, and its gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightning_explain.attribution.rules.compositions import COMPOSITIONS
from lightning_explain.attribution.rules.operator import Call, operator_name


def t(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def cases() -> dict[str, tuple]:
    torch.manual_seed(0)
    x, w, b = t(3, 4, 5), t(5), t(5)
    heads = [t(2, 2, 5, 3) for _ in range(3)]
    mask = torch.rand(5, 5) > 0.3
    mask[:, 0] = True
    return {
        "layer_norm": (F.layer_norm, x, (5,), w, b),
        "layer_norm of two dimensions": (torch.layer_norm, x, (4, 5), None, None, 1e-3),
        "rms_norm": (F.rms_norm, x, (5,), w),
        "group_norm": (F.group_norm, x, 2, t(4), t(4), 1e-4),
        "instance_norm": (F.instance_norm, x, None, None, t(4), t(4)),
        "instance_norm, running": (F.instance_norm, x, t(4), t(4) ** 2, None, None, False),
        "attention": (F.scaled_dot_product_attention, *heads),
        "attention, mask": (F.scaled_dot_product_attention, *heads, mask),
        "attention, bias": (F.scaled_dot_product_attention, *heads, t(5, 5)),
        "attention, causal": (F.scaled_dot_product_attention, *heads, None, 0.0, True),
        "attention, grouped": (
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.3, enable_gqa=True),
            t(2, 4, 5, 3),
            *heads[1:],
        ),
        "var": (torch.var, x, 1),
        "var of all": (torch.var, x),
        "var, biased": (torch.var, x, [1, 2], False, True),
        "std": (torch.std, x, 2),
        "norm": (torch.norm, x, 2, 1),
        "vector_norm": (torch.linalg.vector_norm, x, 2, (0, 2), True),
        "linalg.norm": (torch.linalg.norm, x, None, 1),
        "glu": (F.glu, t(2, 6), 1),
        "maximum": (torch.maximum, x, t(5)),
        "max of two": (torch.max, x, t(3, 4, 5)),
        "minimum": (torch.minimum, x, t(5)),
        "lerp": (torch.lerp, x, t(3, 4, 5), t(5)),
        "lerp by a number": (torch.lerp, x, t(3, 4, 5), 0.3),
        "addcmul": (torch.addcmul, x, t(5), t(3, 4, 5)),
        "addmm": (torch.addmm, x[0], t(4, 2), t(2, 5)),
        "addmv": (torch.addmv, x[0, :, 0], t(4, 2), t(2)),
        "baddbmm": (torch.baddbmm, x, t(3, 4, 2), t(3, 2, 5)),
        "addbmm": (torch.addbmm, x[0], t(3, 4, 2), t(3, 2, 5)),
        "rtruediv": (torch.Tensor.__rtruediv__, x, 3.0),
        "lstm_cell": (torch.lstm_cell, t(2, 3), (t(2, 4), t(2, 4)), t(16, 3), t(16, 4), t(16), t(16)),
        "gru_cell": (torch.gru_cell, t(2, 3), t(2, 4), t(12, 3), t(12, 4), t(12), t(12)),
        "rnn_tanh_cell": (torch.rnn_tanh_cell, t(2, 3), t(2, 4), t(4, 3), t(4, 4), t(4), t(4)),
        "rnn_relu_cell": (torch.rnn_relu_cell, t(2, 3), t(2, 4), t(4, 3), t(4, 4), None, None),
    }


CASES = cases()


@pytest.mark.parametrize("case", CASES)
def test_the_value_and_the_gradient_are_the_operators(case: str) -> None:
    function, x, *args = CASES[case]
    name = "scaled_dot_product_attention" if "attention" in case else Call.of(function, (x, *args), {}).name
    given = {"scale": 0.3, "enable_gqa": True} if "grouped" in case else {}
    x = x.clone().requires_grad_()
    expected, found = function(x, *args), COMPOSITIONS[name].body(x, *args, **given)
    for left, right in zip(*((out if isinstance(out, tuple) else (out,)) for out in (expected, found)), strict=True):
        torch.testing.assert_close(right, left, rtol=1e-12, atol=1e-12)
        weights = torch.randn_like(left)
        gradients = [torch.autograd.grad((out * weights).sum(), x, retain_graph=True)[0] for out in (left, right)]
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("settings", [{}, {"bidirectional": True, "batch_first": True}, {"bias": False}])
def test_recurrent_layers(kind: type[nn.RNNBase], settings: dict) -> None:
    torch.manual_seed(0)
    module = kind(3, 4, num_layers=2, **settings).double()
    x = t(5, 2, 3)
    expected = module(x)
    assert_same_through(module, x, expected)


@pytest.mark.parametrize("module", [nn.RNN(3, 4, nonlinearity="relu"), nn.LSTM(3, 4, proj_size=2)], ids=str)
def test_recurrent_layers_of_special_form(module: nn.RNNBase) -> None:
    module = module.double()
    x = t(5, 2, 3)
    assert_same_through(module, x, module(x))


def assert_same_through(module: nn.Module, x: torch.Tensor, expected: tuple) -> None:
    found = {}

    class Replace(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            call = Call.of(func, args, kwargs or {})
            composition = COMPOSITIONS.get(operator_name(func))
            if composition is None or not composition.fits(call):
                return call.run()
            found["used"] = True
            return composition.body(*args, **(kwargs or {}))

    with Replace():
        out = module(x)
    assert found == {"used": True}
    flat = [tensor for part in zip(out, expected, strict=True) for tensor in _pairs(*part)]
    for left, right in flat:
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def _pairs(left, right):
    return zip(left, right, strict=True) if isinstance(left, tuple) else [(left, right)]


def test_packed_sequences_are_not_written_out() -> None:
    packed = nn.utils.rnn.pack_padded_sequence(t(5, 2, 3), [5, 3])
    seen = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if operator_name(func) == "gru":
                seen.append(COMPOSITIONS["gru"].fits(Call.of(func, args, kwargs or {})))
            return func(*args, **(kwargs or {}))

    with Watch():
        nn.GRU(3, 4).double()(packed)
    assert seen == [False]
