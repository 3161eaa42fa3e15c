from dataclasses import replace

import pytest
import torch
from torch import nn

from lightning_explain import (
    GradCAM,
    Input,
    InputXGradient,
    IntegratedGradients,
    Layer,
    Neuron,
    Occlusion,
    ProbeSet,
    Saliency,
    SmoothGrad,
    explain,
)
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.metrics import InputInvariance
from lightning_explain.metrics.axiomatic.input_invariance import shifted
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


class Minus(nn.Module):
    """A second model: it subtracts a number before its first layer."""

    def __init__(self, model, *numbers):
        super().__init__()
        self.model, self.numbers = model, numbers

    def forward(self, *inputs):
        return self.model(*(x - number for x, number in zip(inputs, self.numbers, strict=True)))


def by_hand(model, inputs, shift, method, baseline):
    """Build the second model, explain both one sample at a time, and compare number by number."""
    result = []
    for i in range(len(inputs[0])):
        maps, numbers = [], []
        for leaf in inputs:
            values = leaf[i].flatten().tolist()
            mean = sum(values) / len(values)
            numbers.append(shift * (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5)
        for chosen, by in ((model, [0.0] * len(numbers)), (Minus(model, *numbers), numbers)):
            one = tuple(leaf[i : i + 1] + number for leaf, number in zip(inputs, by, strict=True))
            there = tuple(torch.full_like(leaf, baseline) for leaf in one)
            given = (one, there) if len(one) > 1 else (one[0], there[0])
            values = explain(chosen, given[0], method, target=TARGET[i : i + 1], baseline=given[1]).values
            leaves = values if isinstance(values, tuple) else (values,)
            maps.append([float(v) for leaf in leaves for v in leaf.flatten()])
        apart = sum((a - b) ** 2 for a, b in zip(*maps, strict=True)) ** 0.5
        result.append(apart / sum(a * a for a in maps[0]) ** 0.5)
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("method", [InputXGradient(), IntegratedGradients(3), Occlusion(window=2)])
@pytest.mark.parametrize("shift", [1.0, -0.5])
def test_it_is_the_relative_change_for_a_second_model_that_subtracts(method, shift):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, method, baseline=0.3) as evaluation:
        got = InputInvariance(shift).per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, (x,), shift, method, 0.3), atol=1e-9, rtol=1e-7)
    assert float(got.min()) > 0.01


def test_several_inputs_are_shifted_by_their_own_deviation():
    model, inputs = Pair(), (pictures(), 10 * rows())
    with evaluation_of(model, inputs, "input_x_gradient") as evaluation:
        got = InputInvariance().per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, inputs, 1.0, InputXGradient(), 0.0), atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("method", [Saliency(), SmoothGrad(n_samples=2), GradCAM(signed=True)])
def test_gradients_do_not_notice(method):
    with evaluation_of(Picture(), pictures(), method) as evaluation:
        assert float(InputInvariance(3.0).per_sample(evaluation).max()) < 1e-9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_in_low_precision_a_model_gets_back_exactly_what_it_had(dtype):
    model, x = Picture().to(dtype), pictures().to(dtype)
    with evaluation_of(model, x, Saliency()) as evaluation:
        problem = shifted(evaluation.problem, 2.0)
        seen = []
        handle = model.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
        got = InputInvariance(2.0).per_sample(evaluation)
        handle.remove()
        assert seen[0].dtype == dtype
        assert torch.equal(torch.cat(seen), x)
        assert got.tolist() == [0] * 4
        assert not torch.equal(problem.inputs[0].to(dtype), x)


def test_the_shift_is_not_undone_by_padding():
    """A bias in the first layer cannot take a shift back where that layer pads with zeros; the wrapper can."""
    model, x = Picture(), pictures()
    assert model.conv.padding == (1, 1)
    with evaluation_of(model, x, Saliency()) as evaluation:
        problem = shifted(evaluation.problem, 2.0)
        torch.testing.assert_close(problem.value, evaluation.problem.value)
        assert not torch.allclose(problem.inputs[0], x)


def test_a_baseline_that_moves_along_would_be_invariant():
    model, x = Picture(), pictures()
    with evaluation_of(model, x, IntegratedGradients(8)) as evaluation:
        staying = shifted(evaluation.problem, 1.0)
        (at, bits), (there, _) = staying.inputs, staying.baseline
        assert torch.equal(there, torch.zeros_like(x))
        moving = replace(staying, baseline=(there + (at - x), bits))
        for problem, same in ((moving, True), (staying, False)):
            got = evaluation.explain(problem)[0]
            assert torch.allclose(got, evaluation.point[0], atol=1e-9) is same


@pytest.mark.parametrize("max_rows", [1, 3, None])
@pytest.mark.parametrize(
    "method", [InputXGradient(), IntegratedGradients(2), Occlusion(window=3), SmoothGrad(n_samples=2)]
)
def test_a_score_does_not_depend_on_who_else_is_in_the_probe_set(method, max_rows):
    model, x = Picture(), pictures() * torch.tensor([1.0, 5.0, 0.2, 2.0]).view(4, 1, 1, 1)
    with evaluation_of(model, x, method, budget=RowBudget(max_rows)) as evaluation:
        together = InputInvariance().per_sample(evaluation)
    for i in range(4):
        with evaluation_of(model, x[i : i + 1], method, target=TARGET[i : i + 1]) as evaluation:
            torch.testing.assert_close(InputInvariance().per_sample(evaluation), together[i : i + 1])


def test_a_sample_without_spread_has_no_unit():
    x = pictures()
    x[1] = 0.7
    with evaluation_of(Picture(), x, "input_x_gradient") as evaluation:
        assert InputInvariance().per_sample(evaluation).isnan().tolist() == [False, True, False, False]


def test_dictionaries_keep_their_names():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, inputs):
            return self.pair(inputs["picture"], inputs["row"])

    model = Named()
    with evaluation_of(model.pair, (pictures(), rows()), "input_x_gradient") as evaluation:
        expected = InputInvariance().per_sample(evaluation)
    inputs = {"picture": pictures(), "row": rows()}
    call = {"forward": lambda model, inputs: model(inputs)}
    with evaluation_of(model, inputs, "input_x_gradient", **call) as evaluation:
        torch.testing.assert_close(InputInvariance().per_sample(evaluation), expected)


def test_linear_models_have_a_closed_form():
    model, x = Linear((2, 6, 6)), pictures()
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = InputInvariance(0.7).per_sample(evaluation)
    weight = model.weight.detach()[TARGET].flatten(1)
    moved = 0.7 * x.flatten(1).std(dim=1, correction=0) * weight.norm(dim=1)
    torch.testing.assert_close(got, moved / (weight * x.flatten(1)).norm(dim=1))


@pytest.mark.parametrize("place", [Layer("conv"), Neuron("conv2", (1, 2, 3))])
def test_places(place):
    with evaluation_of(Picture(), pictures(), Saliency(), place=place) as evaluation:
        assert float(InputInvariance().per_sample(evaluation).max()) < 1e-9
    with evaluation_of(Picture(), pictures(), IntegratedGradients(4), place=Layer("conv")) as evaluation:
        # The layer at the sample is what it was, at the baseline it is not.
        assert float(InputInvariance().per_sample(evaluation).min()) > 0.01


def test_integers_stay_as_they_are():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.names = nn.Embedding(5, 3).double()

        def forward(self, x, ids):
            return torch.tanh(x[:, :3] + self.names(ids))

    ids = torch.tensor([0, 3, 1, 4])
    with evaluation_of(Mixed(), (rows(), ids), "input_x_gradient") as evaluation:
        problem = shifted(evaluation.problem, 1.0)
        assert torch.equal(problem.inputs[1], ids)
        assert problem.inputs[1].dtype == torch.long
        assert float(InputInvariance().per_sample(evaluation).min()) > 0.01


def test_all_zero_maps_are_undefined():
    with evaluation_of(Picture(), pictures(), "input_x_gradient") as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[2] = 0
        got = InputInvariance().per_sample(with_scores(evaluation, scores))
    assert got.isnan().tolist() == [False, False, True, False]


def test_it_costs_one_explanation_and_leaves_the_problem_alone():
    model, seen = Picture(), []
    with evaluation_of(model, pictures(), Saliency()) as evaluation:
        forward, inputs = evaluation.problem.forward, evaluation.problem.inputs
        handle = model.register_forward_hook(lambda module, args, out: seen.append(len(out)))
        InputInvariance().per_sample(evaluation)
        handle.remove()
        assert evaluation.problem.forward is forward
        assert evaluation.problem.inputs is inputs
    assert sum(seen) == 4


def test_what_cannot_be_shifted():
    ids = ProbeSet.from_tensors(torch.randint(5, (4, 6)), target=0)
    assert "integer inputs alone, which cannot be shifted" in InputInvariance().missing(Saliency(), Input(), ids)
    assert InputInvariance().missing(Saliency(), Input(), ProbeSet.from_tensors(rows(), target=0)) is None
    with pytest.raises(ValueError, match="The shift must not be 0"):
        InputInvariance(shift=0)


@pytest.mark.parametrize(("padding", "exact"), [(0, True), (1, False)])
def test_quantus_shifts_a_bias_which_padding_with_zeros_spoils(padding, exact, quantus):

    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(2, 3, 3, padding=padding), nn.Linear(3, 3)

        def forward(self, x):
            return self.head(self.conv(x).relu().mean(dim=(2, 3)))

    model, x = Padded().eval(), pictures().float()
    wrapped = quantus.PyTorchModel(model, channel_first=True)
    theirs = wrapped.add_mean_shift_to_first_layer(-1.0, (1, 2, 6, 6))
    assert torch.allclose(theirs(x - 1), model(x), atol=1e-5) is exact
    with evaluation_of(model, x, Saliency()) as evaluation:
        torch.testing.assert_close(shifted(evaluation.problem, -1.0).value, evaluation.problem.value)


def test_quantus_cannot_shift_a_model_that_begins_with_a_container(quantus):
    model = nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), nn.Flatten(), nn.Linear(48, 3)).eval()
    with pytest.raises(AttributeError, match="out_channels"):
        quantus.PyTorchModel(model, channel_first=True).add_mean_shift_to_first_layer(-1.0, (1, 2, 6, 6))
