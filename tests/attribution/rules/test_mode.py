"""The mode that all rules share."""

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.rules.mode import OperatorMode
from lightning_explain.attribution.rules.operator import Call
from lightning_explain.attribution.rules.plain import PLAIN
from lightning_explain.attribution.rules.pullback import pulled, scaled

X = torch.tensor([[-1.0, 2.0], [3.0, -4.0]], dtype=torch.float64)


class Recorder(OperatorMode[str]):
    def __init__(self, *names: str) -> None:
        super().__init__("Recorder", dict.fromkeys(names, ""))
        self.seen: list[str] = []

    def apply(self, rule: str, call: Call) -> Any:
        self.seen.append(call.name)
        return call.run()


def test_it_looks_into_functions_and_compositions() -> None:
    with Recorder("mul", "rsqrt", "softmax", "matmul", "linear") as mode:
        F.layer_norm(X.clone().requires_grad_(), (2,))
    assert mode.seen == ["mul", "rsqrt", "mul"]
    attention = nn.MultiheadAttention(2, 1, batch_first=True).double().requires_grad_(False)
    x = X[None].clone().requires_grad_()
    for need_weights in (False, True):
        mode = Recorder("linear", "matmul", "bmm", "baddbmm", "softmax", "mul")
        with mode:
            attention(x, x, x, need_weights=need_weights)
        assert mode.seen.count("softmax") == 1
        assert len([name for name in mode.seen if name in {"matmul", "bmm", "baddbmm"}]) == 2
        assert mode.seen.count("linear") >= 2


def test_what_does_not_depend_on_the_variable_is_left_alone() -> None:
    x = X.clone().requires_grad_()
    with Recorder("relu") as mode:
        torch.relu(X)
        torch.relu(x.detach())
        with torch.no_grad():
            torch.relu(x)
    assert mode.seen == []


def test_rules_in_place_write_back() -> None:
    x = X.clone().requires_grad_()
    with Recorder("relu"):
        moved = x + 0
        alias = moved.view(-1)
        result = F.relu(moved, inplace=True)
    assert result is moved
    assert torch.equal(alias.view(2, 2), X.clamp(min=0))
    assert torch.equal(torch.autograd.grad(moved.sum(), x)[0], (X > 0).double())


def test_what_is_kept_survives_being_overwritten() -> None:
    mode = Recorder()
    with mode:
        x = X.clone()
        (whole, part) = mode.keep([x, x[0]])
        x.mul_(2)
        x[1] = 0
        (after,) = mode.keep([x])
        torch.add(x, 1, out=x)
    assert torch.equal(whole.tensor, X)
    assert torch.equal(part.tensor, X[0])
    assert after.tensor[1].tolist() == [0, 0]


@pytest.mark.parametrize("method", ["deep_lift", "lrp", "guided_backprop", "deconvolution"])
def test_buffers_are_filled(method: str) -> None:
    class Buffered(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            two, buffer, index = x.new_full((2,), 2.0), x.new_full((2,), -7.0), torch.zeros((), dtype=torch.long)
            torch.mul(two, 3.0, out=buffer)
            y = (x * buffer).tanh()
            other = torch.exp(two, out=x.new_full((2,), -7.0))
            torch.clamp(other, max=1.5, out=other)
            torch.max(two, 0, out=(two.new_empty(()), index))
            torch.addmm(two[:, None] * 0, two[:, None], two[None], out=(square := x.new_zeros(2, 2)))
            return (y * other) @ square

    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return ((x * 6).tanh() * 1.5) @ x.new_full((2, 2), 4.0)

    found, expected = (explain(kind(), X / 9, method, target=1) for kind in (Buffered, Plain))
    torch.testing.assert_close(found.outputs, expected.outputs)
    torch.testing.assert_close(found.values, expected.values)


@pytest.mark.parametrize("method", ["deep_lift", "lrp"])
def test_an_unknown_operator_is_named_once(method: str) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.i0(x) + torch.special.i0(2 * x).erfinv().nan_to_num() * 0

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explain(Odd(), X.expand(4, 2, 2).reshape(8, 2) / 9, method, target=1, max_rows=2)
    said = [str(warning.message) for warning in caught]
    for name in ("'i0'", "'erfinv'"):
        assert sum(name in text for text in said) == 1


def test_linear_operators_are_not_called_unknown() -> None:
    x = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings(), Recorder("mul", "div"):
        warnings.simplefilter("error")
        y = F.pad(x, (1, 1)).unfold(2, 3, 1).flatten(2).transpose(1, 2).contiguous()[..., :4]
        y = torch.cat([y, y.roll(1, 0)], dim=-1).chunk(2, -1)[0].cumsum(1) - y.mean(dim=1, keepdim=True)
        y = F.interpolate(y, scale_factor=2).masked_fill(y.new_ones(1, dtype=torch.bool), 1.0) * 1
        (y.permute(1, 0, 2).reshape(-1).sum() / 2).backward()


@pytest.mark.parametrize("method", ["deep_lift", "guided_backprop", "lrp"])
def test_compiled_parts_are_seen(method: str) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    mixed = nn.Sequential(torch.compile(nn.Sequential(*plain[:2])), plain[2])
    x = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(*(explain(model, x, method, target=1).values for model in (plain, mixed)))


def test_plain_operators_have_no_rule_of_deep_lift_by_mistake() -> None:
    assert not PLAIN & {"relu", "mul", "softmax", "exp", "max", "abs", "clamp", "div", "norm", "var"}


def test_pullbacks() -> None:
    x = X.clone().requires_grad_()
    y = scaled(x * 1, 3.0)
    y = y.mul_(2)  # in place on what came out is allowed
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.full_like(X, 6))
    z = pulled(X + 1, lambda g: (g * 5, -g), x, other := X.clone().requires_grad_())
    found = torch.autograd.grad(z.sum(), (x, other))
    assert [float(g.mean()) for g in found] == [5, -1]
