import pytest
import torch
from torch import Tensor, nn
from worlds import TARGETS, net, samples

from lightning_explain import Layer, Neuron
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.problem import Problem
from lightning_explain.attribution.sweep import outputs_and_variable_of, outputs_of, variable_of, variable_of_alike


def posed(max_rows: int | None = 2, **fields: object) -> tuple[Problem, list[int]]:
    model = net()
    rows: list[int] = []
    model.register_forward_hook(lambda _module, _args, out: rows.append(len(out)))
    problem = pose(model, samples(), TARGETS, budget=RowBudget(max_rows), **fields)
    rows.clear()  # of the pass that resolved the target
    return problem, rows


def test_outputs_come_chunk_by_chunk_and_without_a_graph() -> None:
    problem, rows = posed()
    found = outputs_of(problem)
    assert sum(rows) == len(samples())
    assert max(rows) == 2
    assert not found.requires_grad
    torch.testing.assert_close(found, problem.model(samples()).detach())


def test_a_model_that_works_in_place_does_not_reach_the_samples() -> None:
    x = torch.randn(4, 3)
    before = x.clone()
    problem = pose(nn.ReLU(inplace=True), x, None)
    assert torch.equal(outputs_of(problem), before.relu())
    assert torch.equal(problem.inputs, before)


@pytest.mark.parametrize("place", [None, Neuron("conv1", (0, 1, 1))], ids=str)
def test_inputs_are_a_variable_that_costs_no_row(place: Neuron | None) -> None:
    problem, rows = posed()
    problem = problem if place is None else problem.at(place)
    (found,) = variable_of(problem, samples() + 1)
    assert torch.equal(found, samples() + 1)
    assert rows == []


def test_a_layers_variable_comes_chunk_by_chunk() -> None:
    problem, rows = posed()
    (found,) = variable_of(problem.at(Layer("conv1")), samples() + 1)
    torch.testing.assert_close(found, problem.model.conv1(samples() + 1).detach())
    assert max(rows) <= 2
    assert not found.requires_grad


def test_a_variable_keeps_its_graph_where_it_is_to_be_trained_on() -> None:
    problem, _ = posed(create_graph=True)
    (found,) = variable_of(problem.at(Layer("conv1")), samples())
    (gradient,) = torch.autograd.grad(found.sum(), problem.model.conv1.bias)
    assert gradient.eq(found[:, 0].numel()).all()


def test_both_come_from_the_same_passes() -> None:
    problem, rows = posed()
    outputs, (variable,) = outputs_and_variable_of(problem.at(Layer("conv1")))
    assert sum(rows) == len(samples())
    torch.testing.assert_close(outputs, problem.model(samples()).detach())
    torch.testing.assert_close(variable, problem.model.conv1(samples()).detach())
    assert not outputs.requires_grad
    assert not variable.requires_grad


class Switching(nn.Module):
    """Switches gradients on by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.first(x).tanh()


def test_nothing_holds_the_graph_of_a_model_that_switches_gradients_on() -> None:
    problem = pose(Switching(), torch.randn(4, 3), None).at(Layer("first"))
    outputs, (variable,) = outputs_and_variable_of(problem)
    assert not outputs.requires_grad
    assert not variable.requires_grad


def test_samples_that_are_all_the_same_are_run_twice() -> None:
    problem, _ = posed(max_rows=None)
    problem, rows = problem.at(Layer("conv1")), list[int]()
    problem.model.conv1.register_forward_hook(lambda _module, _args, out: rows.append(len(out)))
    alike = (samples()[:1] + 1).expand_as(samples())
    (found,) = variable_of_alike(problem, alike)
    assert sum(rows) == 2
    torch.testing.assert_close(found, problem.model.conv1(alike).detach())
    found.add_(1)  # rows of their own
    assert torch.equal(found[1], found[0])
    rows.clear()
    different = alike.clone()
    different[-1, 0, 0, 0] += 1
    (found,) = variable_of_alike(problem, different)
    assert sum(rows) == len(different)
    torch.testing.assert_close(found, problem.model.conv1(different).detach())


def test_a_model_that_wants_all_samples_gets_them_though_they_are_the_same() -> None:
    problem, _ = posed(max_rows=None)
    side = torch.arange(1.0, 1 + len(samples())).view(-1, 1, 1, 1)
    problem.model.conv1.register_forward_pre_hook(lambda _module, args: (args[0] * side,))
    alike = torch.ones_like(samples())
    (found,) = variable_of_alike(problem.at(Layer("conv1")), alike)
    torch.testing.assert_close(found, problem.model.conv1(alike).detach())


def test_samples_that_are_all_the_same_keep_a_graph_of_their_own() -> None:
    problem, _ = posed(create_graph=True)
    (found,) = variable_of_alike(problem.at(Layer("conv1")), torch.zeros_like(samples()))
    (gradient,) = torch.autograd.grad(found.sum(), problem.model.conv1.bias)
    assert gradient.eq(found[:, 0].numel()).all()
