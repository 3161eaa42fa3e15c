"""What one pass gives besides what it is made for."""

import pytest
import torch
from torch import Tensor, nn

from lightning_explain import Layer, Neuron, explain
from lightning_explain.attribution.passes import Beside
from lightning_explain.attribution.problem import Problem

RULES = ["deep_lift", "deep_lift_shap", "lrp", "guided_backprop", "deconvolution"]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x).relu())


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", RULES)
@pytest.mark.parametrize("max_rows", [2, None])
def test_a_neurons_pass_gives_the_outputs_too(method: str, max_rows: int | None) -> None:
    model, rows = Net(), []
    handle = model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    found = explain(model, X, method, Neuron("hidden", 1), max_rows=max_rows)
    handle.remove()
    chunks = 1 if max_rows is None else 3
    assert sum(rows) == 5 + (chunks if method.startswith("deep_lift") else 0)  # one row of the baseline for each
    torch.testing.assert_close(found.outputs, model(X).detach())
    if found.span is not None:
        torch.testing.assert_close(found.span, (model.hidden(X) - model.hidden.bias)[:, 1].double().detach())


def test_nothing_is_remembered_of_some_samples_or_of_no_outputs() -> None:
    problem = Problem(Net(), X, torch.zeros_like(X), None, place=Neuron("hidden", 1))
    own = Beside(problem)
    torch.testing.assert_close(own.score((X[:2],), torch.arange(2)), problem.model.hidden(X[:2])[:, 1])
    (z,), score = own.observe((X[:2].clone(),), torch.arange(2))
    assert torch.equal(score, own.score((z,), torch.arange(2)))
    own.remember()
    assert not {"value", "outputs"} & set(vars(problem))
    problem.model.register_forward_hook(lambda *_: "no tensor")
    own.score((X,), torch.arange(5))
    own.remember()
    assert not {"value", "outputs"} & set(vars(problem))


def test_elsewhere_it_is_the_problems_own_score() -> None:
    problem = Problem(Net(), X, torch.zeros_like(X), torch.ones(5, 1, dtype=torch.long), place=Layer("hidden"))
    own = Beside(problem)
    assert torch.equal(own.score(problem.z, torch.arange(5)), problem.score(problem.z, torch.arange(5)))
