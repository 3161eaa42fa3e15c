from dataclasses import replace

import pytest
import torch
from cases import BY_NAME
from games import odd_ids
from torch import Tensor, nn
from worlds import TARGETS, baseline, net, samples

from lightning_explain import Input, Layer, Layers, explain, explain_targets
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import METHODS, Method
from lightning_explain.attribution.outputs import of_each
from lightning_explain.attribution.problem import Problem

SETTINGS = {
    "rise": {"n_masks": 40},
    "lime": {"n_samples": 40},
    "kernel_shap": {"n_samples": 40},
    "shapley_sampling": {"n_samples": 3},
    "feature_permutation": {"n_permutations": 2},
    "occlusion": {"window": 2},
}
SHARING = sorted(name for name in METHODS if METHODS[name].shares_points)
CHOSEN = (torch.tensor([0, 1, 2])[:, None], TARGETS[:, None], torch.tensor([1, 1, 1])[:, None])


def made(name: str) -> Method:
    return METHODS[name](**SETTINGS.get(name, {}))


def posed(model: nn.Module, place: object = None, max_rows: int | None = None) -> Problem:
    problem = pose(model, samples(), None, baseline=baseline(), budget=RowBudget(max_rows))
    return replace(problem, place=place or Input())


def assert_each_alone(method: Method, problem: Problem) -> None:
    several = of_each(problem, CHOSEN)
    for target, point in zip(CHOSEN, several.split(method(several)), strict=True):
        alone = method(replace(problem, target=target, tails={}))
        for left, right in zip(point, alone, strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def test_perturbation_methods_share_points() -> None:
    assert set(SHARING) == {
        "feature_ablation",
        "feature_permutation",
        "kernel_shap",
        "lime",
        "occlusion",
        "rise",
        "score_cam",
        "shapley_sampling",
        "shapley_values",
    }


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (name, place)
        for name in SHARING
        for place in (Input(), Layer("conv2"), Layers(("conv1", "conv2")))
        if isinstance(place, Layer) or name != "score_cam"  # a map of one layer
    ],
    ids=str,
)
def test_every_output_gets_what_it_would_alone(name: str, place: object) -> None:
    model = net()
    with borrowed(model):
        problem = posed(model, place)
        if name == "shapley_values":
            features = tuple((torch.arange(leaf[0].numel()) % 4).view(1, *leaf.shape[1:]) for leaf in problem.z)
            problem = problem.masked(features)
        assert_each_alone(made(name), problem)


@pytest.mark.parametrize("name", [name for name in SHARING if name not in {"occlusion", "score_cam"}])
@pytest.mark.parametrize("where", ["input", "output"])
def test_samples_with_different_numbers_of_features(name: str, where: str) -> None:
    model = net()
    with borrowed(model):
        problem = posed(model, Layer("conv2") if where == "output" else None).masked(odd_ids(where, per_sample=True))
        assert len(problem.features.groups) == 2
        assert_each_alone(made(name), problem)


@pytest.mark.parametrize("readout", ["probability", "top"])
@pytest.mark.parametrize("name", ["feature_ablation", "occlusion", "kernel_shap"])
def test_other_readouts(name: str, readout: str) -> None:
    model = net()
    with borrowed(model):
        assert_each_alone(made(name), posed(model).reading(readout))


@pytest.mark.parametrize("max_rows", [2, 7])
def test_chunks_change_nothing(max_rows: int) -> None:
    model = net()
    with borrowed(model):
        whole, parts = (of_each(posed(model, max_rows=rows), CHOSEN) for rows in (None, max_rows))
        for left, right in zip(made("rise")(whole), made("rise")(parts), strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


def test_outputs_take_the_rows_of_one() -> None:
    model, seen = net(), list[int]()
    model.conv1.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    explain_targets(model, samples(), [1], "feature_ablation")
    alone = sum(seen)
    seen.clear()
    explain_targets(model, samples(), [0, 1, 2, TARGETS], "feature_ablation")
    assert sum(seen) == alone == 3 * (5 * 4 + 1)


def test_behind_a_layer_the_rows_of_one_are_those_of_the_tail() -> None:
    case = BY_NAME["mlp"]
    model, inputs, seen = case.model(), case.inputs(), list[int]()
    model.hidden.register_forward_hook(lambda _m, _args, out: seen.append(len(out)))
    found = explain_targets(model, inputs, [0, 2], "kernel_shap@hidden")
    assert sum(seen) < 64  # of 4 * 64 rows, or twice that
    for target, attribution in zip((0, 2), found, strict=True):
        alone = explain(model, inputs, "kernel_shap@hidden", target=target)
        torch.testing.assert_close(attribution.values, alone.values, rtol=0, atol=1e-12)
        torch.testing.assert_close(attribution.delta, alone.delta, rtol=0, atol=1e-9)
        torch.testing.assert_close(attribution.span, alone.span, rtol=0, atol=1e-9)


def test_outputs_with_more_than_one_dimension() -> None:
    def forward(_model: nn.Module, x: Tensor) -> Tensor:
        return torch.stack([x, x**2], dim=1)

    x = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    found = explain_targets(nn.Identity(), x, [torch.tensor([[1, 2]] * 2), torch.tensor([[0, 0], [1, 1]])],
                            "feature_ablation", forward=forward)  # fmt: skip
    assert found[0].values.tolist() == [[0, 0, 4], [0, 0, 25]]
    assert found[1].values.tolist() == [[0, 0, 0], [0, 16, 0]]


def test_a_model_of_one_number_is_explained_once() -> None:
    first, second = explain_targets(nn.Linear(3, 1), torch.randn(2, 3), ["output", "output"], "feature_ablation")
    torch.testing.assert_close(first.values, second.values)


def test_what_is_known_of_several_outputs() -> None:
    model = net()
    with borrowed(model):
        several = of_each(posed(model), CHOSEN)
        assert several.distinct.samples == 3
        assert several.distinct.distinct is several.distinct
        assert several.samples == 9
        assert several.outputs.shape == (9, 3)
        assert several.value.tolist() == several.outputs[torch.arange(9), torch.cat(CHOSEN)[:, 0]].tolist()
        chosen = several.select(torch.tensor([0, 2, 3, 5, 6, 8]))
        assert chosen.samples == 6
        assert chosen.value.tolist() == several.value[[0, 2, 3, 5, 6, 8]].tolist()
