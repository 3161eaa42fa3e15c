"""What is known of a problem is known of those that follow from it, where it still holds."""

import pytest
import torch
from torch import Tensor, nn
from worlds import TARGETS, net, samples

from lightning_explain import Layer, Neuron
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.problem import Problem


def posed() -> tuple[Problem, list[int]]:
    model = net()
    rows: list[int] = []
    model.register_forward_hook(lambda _module, _args, out: rows.append(len(out)))
    return pose(model, samples(), TARGETS), rows


def known(problem: Problem) -> dict[str, Tensor]:
    gradient = problem.gradient()[0]
    return {"outputs": problem.outputs, "value": problem.value, "below": problem.baseline_value, "slope": gradient}


def test_some_of_the_samples_cost_no_row() -> None:
    problem, rows = posed()
    before = known(problem)
    rows.clear()
    chosen = torch.tensor([2, 0, 2])
    for name, value in known(problem.select(chosen)).items():
        assert torch.equal(value, before[name][chosen]), name
    assert rows == []


def test_another_place_target_or_readout_keeps_the_outputs() -> None:
    problem, rows = posed()
    outputs = problem.outputs
    rows.clear()
    others = [
        problem.at(Layer("conv1")),
        problem.at(problem.place, (TARGETS[:, None] + 1) % 3),
        problem.reading("probability"),
        problem.masked(None),
    ]
    assert all(other.outputs is outputs for other in others)
    assert rows == []
    torch.testing.assert_close(others[2].value, outputs.softmax(dim=1)[torch.arange(len(TARGETS)), TARGETS])
    assert sum(rows) == 0


def test_other_inputs_are_not_confused_with_these() -> None:
    problem, _ = posed()
    known(problem)
    other = problem.with_inputs(samples() + 1)
    assert not torch.allclose(other.outputs, problem.outputs)
    assert not torch.allclose(other.value, problem.value)
    assert not torch.allclose(other.gradient()[0], problem.gradient()[0])
    assert torch.equal(other.baseline_value, problem.baseline_value)


def test_a_thing_is_computed_once() -> None:
    problem, _ = posed()
    made = [problem.remembered("key", lambda: torch.ones(2)) for _ in range(2)]
    assert made[0] is made[1]
    assert "key" not in problem.select(torch.tensor([0]))._memory


def test_the_value_of_a_neuron_is_not_an_output() -> None:
    problem, _ = posed()
    unit = problem.at(Neuron("conv1", (0, 1, 1)))
    torch.testing.assert_close(unit.value, problem.model.conv1(samples())[:, 0, 1, 1].detach())


def test_with_a_graph_values_depend_on_the_parameters() -> None:
    model = nn.Linear(3, 2).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    problem = pose(model, x, 1, create_graph=True)
    (found,) = torch.autograd.grad(problem.value.sum(), model.weight)
    torch.testing.assert_close(found[1], x.sum(dim=0))
    assert not problem.outputs.requires_grad
    assert not pose(model, x, 1).value.requires_grad


def test_what_has_no_gradient_is_refused_by_name() -> None:
    problem, _ = posed()
    problem.refuse_graph("This")
    graph = pose(net(), samples(), TARGETS, create_graph=True)
    with pytest.raises(ValueError, match=r"This cannot be trained on: leave out create_graph=True"):
        graph.refuse_graph("This")


def test_a_model_that_has_changed_is_asked_anew() -> None:
    problem, _ = posed()
    moved = problem.at(Layer("conv1"))
    moved.remembered("key", lambda: moved.value)
    moved.tails[moved.place] = moved.place
    moved.counted[moved.place] = (1,)
    fresh = moved.anew()
    assert (fresh.tails, fresh.counted, fresh._memory) == ({}, {}, {})
    assert not vars(fresh).keys() & {"z", "z0", "outputs", "value"}
    assert (fresh.place, fresh.samples) == (moved.place, moved.samples)
    assert fresh.target is moved.target
    assert moved.tails
