"""Two runs paired operator by operator."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_explain import explain
from lightning_explain.attribution.rules.rescale import Rescale

X = torch.tensor([[3.0, -2.0], [1.0, 5.0]], dtype=torch.float64)
X0 = torch.tensor([[-1.0, -1.0], [2.0, -9.0]], dtype=torch.float64)


def multipliers(operator, x: Tensor = X, x0: Tensor = X0) -> Tensor:
    leaf = x.clone().requires_grad_()
    out, _ = Rescale(1e-10).paired(lambda: operator(leaf), lambda _: operator(x0.clone()))
    return torch.autograd.grad(out.sum(), leaf)[0]


def test_both_scores_come_back() -> None:
    leaf = X.clone().requires_grad_()
    out, reference = Rescale(1e-10).paired(lambda: torch.tanh(leaf), lambda _: torch.tanh(X0))
    assert torch.equal(out.detach(), torch.tanh(X))
    assert torch.equal(reference, torch.tanh(X0))
    assert not reference.requires_grad


def test_the_model_may_overwrite_what_the_rules_look_at_later() -> None:
    def gentle(x: Tensor) -> Tensor:
        y = torch.tanh(3 * x)
        return (y * y + 1).exp() * y

    def greedy(x: Tensor) -> Tensor:
        z = 3 * x
        y = torch.tanh(z)
        z.zero_()
        square = (y * y).add_(1)
        result = square.exp_()
        product = result * y
        y.fill_(7.0)
        result[0] = 0
        return product

    torch.testing.assert_close(multipliers(greedy), multipliers(gentle), rtol=0, atol=1e-14)


def test_where_the_batch_is_does_not_matter() -> None:
    def batch_second(x: Tensor) -> Tensor:
        return F.gelu(x.T * 2).softmax(dim=0).T

    torch.testing.assert_close(multipliers(batch_second), multipliers(lambda x: F.gelu(x * 2).softmax(dim=1)))


def test_another_path_at_the_baseline_is_an_error() -> None:
    def branching(x: Tensor) -> Tensor:
        return torch.tanh(x) if x.detach().sum() > 0 else torch.sigmoid(x)

    with pytest.raises(ValueError, match="'tanh' at the samples, 'sigmoid' at the baseline"):
        multipliers(branching)
    with pytest.raises(ValueError, match="'nothing more' at the samples, 'sin' at the baseline"):
        multipliers(lambda x: x + 2 if x.detach().sum() > 0 else x.sin())
    with pytest.raises(ValueError, match="'sin' at the samples, 'nothing more' at the baseline"):
        multipliers(lambda x: x.sin() if x.detach().sum() > 0 else x + 2)


def test_after_an_error_the_mode_works_again() -> None:
    mode = Rescale(1e-10)

    def fail(_: object) -> Tensor:
        torch.tanh(X0)
        raise KeyError("midway")

    leaf = X.clone().requires_grad_()
    with pytest.raises(KeyError, match="midway"):
        mode.paired(lambda: torch.tanh(leaf), fail)
    out, _ = mode.paired(lambda: torch.tanh(leaf), lambda _: torch.tanh(X0))
    expected = (torch.tanh(X) - torch.tanh(X0)) / (X - X0)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), leaf)[0], expected)


def test_the_backward_pass_waits_for_the_baseline() -> None:
    mode = Rescale(1e-10)
    leaf = X.clone().requires_grad_()
    with mode:
        out = torch.tanh(leaf)
    with pytest.raises(RuntimeError, match="before the model had run on the baseline"):
        torch.autograd.grad(out.sum(), leaf)


def test_the_backward_pass_is_taken_once() -> None:
    leaf = X.clone().requires_grad_()
    out, _ = Rescale(1e-10).paired(lambda: torch.tanh(leaf), lambda _: torch.tanh(X0))
    torch.autograd.grad(out.sum(), leaf, retain_graph=True)
    with pytest.raises(RuntimeError, match="for a second time"):
        torch.autograd.grad(out.sum(), leaf)


def test_a_normalisation_of_nothing_says_nothing_of_the_norm() -> None:
    class Normalised(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.normalize(x, dim=1).cumsum(dim=1)

    x = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[3] = 0
    found = explain(Normalised(), x, "deep_lift", target=3)
    expected = F.normalize(x, dim=1) * (torch.arange(5) < 4)
    torch.testing.assert_close(found.values, expected)
    elsewhere = explain(Normalised(), x, "deep_lift", target=3, baseline=0.1)
    assert elsewhere.values[0, 4].abs() > 1e-3  # the norm takes part
    assert elsewhere.values.abs().max() < 10
    assert elsewhere.delta.abs().max() < 1e-12


def test_the_slope_of_a_leaky_rectifier_in_evaluation() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.RReLU(), nn.Linear(6, 2)).double()
    same = nn.Sequential(net[0], nn.LeakyReLU((1 / 8 + 1 / 3) / 2), net[2])
    x = torch.randn(3, 4, dtype=torch.float64)
    for method in ("deep_lift", "lrp"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = explain(net, x, method, target=1, baseline=0.2).values
        torch.testing.assert_close(found, explain(same, x, method, target=1, baseline=0.2).values)


def test_packing_a_sequence_only_moves_numbers() -> None:
    class Packed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, [3] * len(x), batch_first=True)
            return nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)[0].tanh().flatten(1)

    x = torch.randn(3, 3, 2, dtype=torch.float64)
    for method in ("deep_lift", "lrp"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = explain(Packed(), x, method, target=1).values
        torch.testing.assert_close(found[:, 0, 1], x[:, 0, 1].tanh())
