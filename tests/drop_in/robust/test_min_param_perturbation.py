import captum.robust
import pytest
import torch
from torch import nn

from lightning_explain.captum import robust

MODEL = nn.Linear(3, 2, bias=False).double()
MODEL.weight.data = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
X = torch.tensor([[3.0, 2.0, 1.0], [4.0, 4.0, 0.5]], dtype=torch.float64)


def drop(x, by, index=0):
    moved = x.clone()
    moved[:, index] -= by
    return moved


def search(package, evaluate, model=MODEL, attack=drop, **settings):
    arguments = {"arg_name": "by", "arg_min": 0.0, "arg_max": 6.0, "arg_step": 0.25} | settings
    return package.MinParamPerturbation(model, attack, **arguments).evaluate(**evaluate)


def agree(ours, theirs):
    assert (ours[0] is None) == (theirs[0] is None)
    if theirs[0] is not None:
        torch.testing.assert_close(ours[0], theirs[0])
        assert ours[1] == pytest.approx(theirs[1])


@pytest.mark.parametrize("mode", ["linear", "binary", "Binary"])
@pytest.mark.parametrize("per_eval", [1, 2, 7, 100])
@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("grid", [(0.0, 6.0, 0.25), (0, 7, 1), (4, 9, 2), (5.0, 9.0, 1.0), (0.0, 1.0, 0.3)])
def test_it_agrees_with_captum(mode, per_eval, attempts, rows, grid):
    settings = dict(zip(("arg_min", "arg_max", "arg_step"), grid, strict=True)) | {
        "mode": mode, "num_attempts": attempts
    }  # fmt: skip
    evaluate = {"inputs": X[:rows], "target": torch.tensor([0, 0])[:rows], "perturbations_per_eval": per_eval}
    ours, theirs = (search(package, evaluate, **settings) for package in (robust, captum.robust))
    agree(ours, theirs)
    assert type(ours) is tuple


def test_the_value_is_the_margin():
    """x0 + x1 - x2 = 4 of the first sample: a fall of more than 4 misleads."""
    for mode in ("linear", "binary"):
        moved, value = search(robust, {"inputs": X[:1], "target": 0}, mode=mode)
        assert value == 4.25
        assert moved[0, 0] == 3 - 4.25
        assert search(robust, {"inputs": X[:1], "target": 0}, mode=mode, arg_max=4.2) == (None, None)


@pytest.mark.parametrize("mode", ["linear", "binary"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("per_eval", [1, 3])
def test_preprocessing_arguments_and_judges(mode, before, per_eval):
    evaluate = {
        "inputs": X,
        "additional_forward_args": (torch.tensor([[1.0], [2.0]], dtype=torch.float64), None, 1.5),
        "perturbations_per_eval": per_eval,
        "attack_kwargs": {"index": 1},
        "correct_fn_kwargs": {"least": -1.0},
        "target": 1,
    }
    model = lambda x, factor, _, scale: MODEL(x) * factor * scale  # noqa: E731
    settings = {
        "mode": mode,
        "arg_max": 30.0,
        "preproc_fn": lambda x: x * 2 - 1,
        "apply_before_preproc": before,
        "correct_fn": lambda out, target, least: (out[:, 0] - out[:, target]).min().item() > least,
    }
    ours, theirs = (search(package, evaluate, model, **settings) for package in (robust, captum.robust))
    agree(ours, theirs)
    assert ours[1] is not None


@pytest.mark.parametrize("mode", ["linear", "binary"])
def test_raw_inputs(mode):
    """Words in, one word at a time; the attack's result is given back as it is."""

    def shortened(text, by):
        return text[by:]

    found = search(
        robust, {"inputs": "explanations", "target": 0}, lambda x: x, shortened, mode=mode, arg_min=0, arg_max=10,
        arg_step=1, preproc_fn=lambda text: torch.tensor([[float(len(text)), 7.5]]), apply_before_preproc=True,
    )  # fmt: skip
    assert found == ("nations", 5)


def test_a_random_attack_succeeds_at_some_attempt():
    draws = iter([0.0, 0.0, 9.0] * 50)
    found = search(
        robust, {"inputs": X[:1], "target": 0}, attack=lambda x, by: drop(x, next(draws)), num_attempts=3, mode="linear"
    )
    assert found[1] == 0.0


def test_linear_search_stops_and_bisection_asks_no_value_twice():
    for mode, most in (("linear", 18), ("binary", 5)):
        tried = []
        search(
            robust,
            {"inputs": X[:1], "target": 0},
            attack=lambda x, by, t=tried: (t.append(by), drop(x, by))[1],
            mode=mode,
        )
        assert len(tried) == len(set(tried)) <= most


def test_rounded_steps_do_not_reach_the_end():
    """Captum adds steps up: 0.1 ten times falls just short of 1, which is outside."""
    tried = {"ours": [], "theirs": []}
    for name, package in (("ours", robust), ("theirs", captum.robust)):
        attack = lambda x, by, name=name: (tried[name].append(by), x)[1]  # noqa: E731
        settings = {"arg_max": 1.0, "arg_step": 0.1}
        assert search(package, {"inputs": X[:1], "target": 0}, attack=attack, **settings) == (None, None)
    assert tried["ours"] == pytest.approx([k / 10 for k in range(10)])
    assert len(tried["theirs"]) == 11


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.9), nn.Linear(3, 2)).double().train()
    before = model[0].running_mean.clone()
    search(robust, {"inputs": X, "target": 0}, model=model)
    assert model.training
    assert torch.equal(model[0].running_mean, before)


@pytest.mark.parametrize("package", [robust, captum.robust])
@pytest.mark.parametrize("settings", [{"arg_max": 0.2}, {"arg_max": 0.25}, {"mode": "cubic"}])
def test_bad_settings_raise_what_captum_raises(package, settings):
    with pytest.raises(AssertionError, match=r"\S"):
        search(package, {"inputs": X, "target": 0}, **settings)


def test_bad_settings_are_values_and_named():
    with pytest.raises(ValueError, match=r"at least two values .*; got arg_min=0\.0, arg_max=6\.0, arg_step=0"):
        search(robust, {"inputs": X, "target": 0}, arg_step=0)
    with pytest.raises(ValueError, match="num_attempts must be at least 1, got 0"):
        search(robust, {"inputs": X, "target": 0}, num_attempts=0)
    with pytest.raises(ValueError, match="mode must be 'linear' or 'binary', got 'cubic'"):
        search(robust, {"inputs": X, "target": 0}, mode="cubic")
    with pytest.raises(AssertionError, match=r"Expected outputs \(n, classes\), got \(2,\); pass correct_fn="):
        search(robust, {"inputs": X, "target": 0}, model=lambda x: MODEL(x)[:, 0])
    with pytest.raises(TypeError, match="judged by target=, which is missing"):
        search(robust, {"inputs": X})
    with pytest.raises(TypeError, match="Only tensors, and tuples of them, can go through the model together"):
        search(robust, {"inputs": "abc", "target": 0, "perturbations_per_eval": 2}, attack=lambda x, by: x)
