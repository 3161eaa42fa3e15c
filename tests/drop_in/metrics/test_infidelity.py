import warnings

import captum.metrics
import pytest
import torch
from torch import nn

from lightning_explain.captum import metrics

FEW = 4


class Net(nn.Module):
    def __init__(self, deep=False):
        super().__init__()
        torch.manual_seed(0)
        self.deep = deep
        self.first, self.second, self.head = nn.Linear(6, 5), nn.Linear(2, 5), nn.Linear(5, 6)
        self.norm, self.drop = nn.BatchNorm1d(5), nn.Dropout(0.5)
        self.double().eval()

    def forward(self, x, *rest):
        hidden = self.first(x.flatten(1))
        for factor in rest:
            if torch.is_tensor(factor) and factor.shape[1:] == (2,):
                hidden = hidden + self.second(factor)
            elif factor is not None:
                hidden = hidden * (factor.view(-1, 1) if torch.is_tensor(factor) else factor)
        out = self.head(self.drop(self.norm(torch.tanh(hidden))))
        return out.view(-1, 3, 2) if self.deep else out


def inputs(two=False, n=FEW, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, 2, 3, generator=generator), torch.randn(n, 2, generator=generator)
    return (x.double(), y.double()) if two else x.double()


def moved(given, *rest):
    """Small changes that depend on the row alone, and so not on how many there are at a time."""
    tensors = given if isinstance(given, tuple) else (given,)
    changes = tuple(0.3 * torch.sin(7 * leaf + i) for i, leaf in enumerate(tensors))
    perturbed = tuple(leaf - change for leaf, change in zip(tensors, changes, strict=True))
    return (changes, perturbed) if isinstance(given, tuple) else (changes[0], perturbed[0])


def drawn():
    """Another draw for every row, from a generator of its own."""
    generator = torch.Generator().manual_seed(3)

    def perturb(given, baselines=None):
        tensors = given if isinstance(given, tuple) else (given,)
        changes = tuple(torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) for leaf in tensors)
        if baselines is not None:
            held = baselines if isinstance(baselines, tuple) else (baselines,)
            changes = tuple(change + base for change, base in zip(changes, held, strict=True))
        perturbed = tuple(leaf - change for leaf, change in zip(tensors, changes, strict=True))
        return (changes, perturbed) if isinstance(given, tuple) else (changes[0], perturbed[0])

    return perturb


def both(settings, two=False, model=None, perturb=drawn):
    results = []
    for package in (metrics, captum.metrics):
        made = settings() if callable(settings) else settings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = {"inputs": inputs(two), "attributions": inputs(two, seed=1)} | made
            results.append(package.infidelity(model or Net(), perturb(), **call))
    return results


def agree(pair):
    ours, theirs = pair
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-9)
    assert float(ours.min()) > 1e-6


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("most", [None, 1, FEW, 3 * FEW + 1, 99])
@pytest.mark.parametrize("baselines", [False, True])
def test_it_agrees_with_captum(two, normalize, most, baselines):
    settings = {"target": 2, "n_perturb_samples": 7, "max_examples_per_batch": most, "normalize": normalize}
    if baselines:
        settings["baselines"] = (inputs(seed=5), 0.25) if two else inputs(seed=5)[:1]
    agree(both(settings, two))


@pytest.mark.parametrize("target", [1, torch.tensor(1), torch.tensor([2]), torch.tensor([0, 5, 1, 3]), [0, 5, 1, 3]])
def test_targets_of_classes(target):
    agree(both({"target": target}))


@pytest.mark.parametrize("target", [(1, 0), [(0, 1), (2, 0), (1, 1), (0, 0)]])
def test_targets_of_positions(target):
    agree(both({"target": target}, model=Net(deep=True)))


@pytest.mark.parametrize(
    "further", [0.5, torch.tensor([1.0, -1.0, 2.0, 0.5]), (inputs(two=True)[1], None, torch.tensor(2.0))]
)
def test_further_arguments(further):
    agree(both({"target": 1, "additional_forward_args": further, "max_examples_per_batch": 9}))


@pytest.mark.parametrize(
    "form", [lambda x: x.square().flatten(1).sum(dim=1), lambda x: x.square().flatten(1).sum(1, True)]
)
def test_one_number_for_each_sample_needs_no_target(form):
    agree(both({}, model=form))


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("baselines", [None, 0.5, inputs(seed=5)])
def test_the_decorator_agrees_with_captum(relative, baselines):
    x = inputs()
    x[0, 0, 0] = 0  # nothing is relative to it
    results = []
    for package in (metrics, captum.metrics):
        perturb = package.infidelity_perturb_func_decorator(relative)(lambda x, base=0.0: x * 0.7 + base)
        results.append(perturb(x) if baselines is None else perturb(x, baselines))
        arguments = {"baselines": baselines, "target": 1, "n_perturb_samples": 3}
        results[-1] += (package.infidelity(Net(), perturb, x, inputs(seed=1), **arguments),)
    torch.testing.assert_close(results[0], results[1])
    assert isinstance(results[0][0], tuple)


def test_the_decorator_takes_several_inputs_and_one_row_for_all():
    base = inputs(seed=5)[:1]
    results = []
    for package in (metrics, captum.metrics):
        perturb = package.infidelity_perturb_func_decorator()(lambda x, base: base)
        results.append(package.infidelity(Net(), perturb, inputs(), inputs(seed=1), base, target=1))
        two = package.infidelity_perturb_func_decorator(False)(lambda pair: (pair[0] / 2, pair[1] / 3))
        results[-1] = results[-1], two(inputs(two=True))
    torch.testing.assert_close(results[0], results[1])


def test_exact_attributions_of_a_linear_model_are_perfect():
    weight = torch.randn(2, 3, dtype=torch.float64)
    model = lambda x: (x * weight).flatten(1).sum(dim=1)  # noqa: E731
    local = metrics.infidelity(model, drawn(), inputs(), weight.expand(FEW, 2, 3))
    assert float(local.max()) < 1e-20
    keep = torch.rand(FEW * 10, 2, 3, dtype=torch.float64).round()
    masked = metrics.infidelity_perturb_func_decorator()(lambda x: x * keep)
    assert float(metrics.infidelity(model, masked, inputs(), weight * inputs()).max()) < 1e-20


def test_normalised_it_forgives_any_scale_and_sign():
    settings = {"inputs": inputs(), "target": 1, "normalize": True}
    maps = inputs(seed=1)
    expected = metrics.infidelity(Net(), drawn(), attributions=maps, **settings)
    for scale in (100.0, -3.0):
        torch.testing.assert_close(metrics.infidelity(Net(), drawn(), attributions=scale * maps, **settings), expected)
    dead = metrics.infidelity(Net(), drawn(), attributions=0 * maps, **settings)
    torch.testing.assert_close(dead, metrics.infidelity(Net(), drawn(), inputs(), 0 * maps, target=1))


def test_rows_are_counted_and_chunked():
    seen, model = [], Net()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    metrics.infidelity(model, drawn(), inputs(), inputs(seed=1), target=1, n_perturb_samples=100)
    assert sum(seen) == FEW + 100 * FEW
    assert max(seen) <= 256


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_nothing_is_left_behind(mode):
    model = Net().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    expected = metrics.infidelity(Net(), moved, inputs(), inputs(seed=1), target=1)
    state = torch.get_rng_state()
    with mode():
        x = inputs().clone()
        got = metrics.infidelity(model, moved, x, inputs(seed=1), target=1)
    torch.testing.assert_close(got.clone(), expected)
    assert model.training
    assert not got.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, inputs())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_users_random_numbers_go_on():
    model, numbers = Net().train(), []

    def perturb(x):
        numbers.append(torch.rand(1).item())
        return moved(x)

    torch.manual_seed(4)
    expected = torch.rand(2).tolist()
    torch.manual_seed(4)
    settings = {"target": 1, "n_perturb_samples": 2, "max_examples_per_batch": FEW}
    metrics.infidelity(model, perturb, inputs(), inputs(seed=1), **settings)
    assert numbers == pytest.approx(expected)


def test_precision():
    exact = metrics.infidelity(Net(), moved, inputs(), inputs(seed=1), target=1)
    single = metrics.infidelity(Net().float(), moved, inputs().float(), inputs(seed=1).float(), target=1)
    half = metrics.infidelity(Net().bfloat16(), moved, inputs().bfloat16(), inputs(seed=1).bfloat16(), target=1)
    assert (exact.dtype, single.dtype, half.dtype) == (torch.float64, torch.float32, torch.float32)
    torch.testing.assert_close(single.double(), exact, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(half.double(), exact, atol=0.1, rtol=0.2)


def test_parts_out_of_range_are_told():
    for most in (FEW - 1, 10 * FEW + FEW):
        with pytest.warns(UserWarning, match=f"should be from 4, one copy .* to 40, all of them; got {most}"):
            metrics.infidelity(Net(), moved, inputs(), inputs(seed=1), target=1, max_examples_per_batch=most)


def refuse(error, message, both_raise=True, **changes):
    call = {
        "forward_func": Net(),
        "perturb_func": moved,
        "inputs": inputs(),
        "attributions": inputs(seed=1),
        "target": 1,
    }
    with pytest.raises(error, match=message):
        metrics.infidelity(**call | changes)
    if both_raise:
        with pytest.raises(AssertionError):
            metrics.infidelity(**call | changes)
        with pytest.raises(AssertionError):
            captum.metrics.infidelity(**call | changes)


def test_bad_arguments_raise_what_captum_raises_and_the_right_kind():
    refuse(ValueError, r"Attributions must have the shapes of the inputs, .* got", attributions=inputs()[:, :1])
    refuse(ValueError, r"Attributions must have the shapes of the inputs", attributions=inputs(two=True))
    refuse(TypeError, r"Inputs are a tensor or a tuple of tensors, got list", inputs=[inputs()])
    refuse(TypeError, r"A baseline is a tensor or a number, got str", baselines="zeros")
    refuse(ValueError, r"Perturbations must have the shapes of the repeated inputs",
           perturb_func=lambda x: (x[:, :1], x))  # fmt: skip
    refuse(ValueError, r"Perturbations must have the shapes", perturb_func=lambda x: ((x, x), x))
    refuse(ValueError, "one target for each of 4 samples, got 3", target=[1, 2, 3])
    refuse(TypeError, "A target is an? .*, got str", target="1")
    refuse(IndexError, "[Tt]arget", both_raise=False, target=17)
    refuse(ValueError, r"Expected one number for each of 4 rows .*, got shape \(4, 6\)", both_raise=False, target=None)
    refuse(TypeError, "perturb_func must give perturbations and perturbed inputs, a pair, got Tensor", both_raise=False,
           perturb_func=lambda x: x)  # fmt: skip
    refuse(ValueError, "Expected at least one sample and n_perturb_samples >= 1, got 4 and 0", both_raise=False,
           n_perturb_samples=0)  # fmt: skip
    refuse(TypeError, "The forward function must give a tensor, got list", both_raise=False, forward_func=lambda x: [1])


def test_futures_are_not_supported():
    def later(x):
        future = torch.futures.Future()
        future.set_result(Net()(x))
        return future

    with pytest.raises(NotImplementedError, match="A forward function that gives a future is not supported"):
        metrics.infidelity(later, moved, inputs(), inputs(seed=1), target=1)


def test_arguments_that_do_not_go_with_the_samples_are_not_repeated():
    x, table = torch.randn(3, 2), torch.arange(5.0)

    def moved(inputs):
        change = torch.linspace(0.1, 1, inputs.numel()).view_as(inputs)
        return change, inputs - change

    def outputs(x, held):
        assert len(held) == 5
        return x.square().sum(dim=1) * held.sum()

    attributions = torch.ones(3, 2)
    found = metrics.infidelity(outputs, moved, x, attributions, additional_forward_args=(table,), n_perturb_samples=4)
    expected = metrics.infidelity(lambda x: outputs(x, table), moved, x, attributions, n_perturb_samples=4)
    assert torch.equal(found, expected)


def test_outputs_are_found_as_by_the_methods():
    x, attributions = torch.randn(3, 2), torch.ones(3, 2)

    def moved(inputs):
        return torch.full_like(inputs, 0.1), inputs - 0.1

    expected = metrics.infidelity(lambda x: x.square(), moved, x, attributions, target=1)
    for model in (lambda x: {"logits": x.square()}, lambda x: (x.square(), "more")):
        assert torch.equal(metrics.infidelity(model, moved, x, attributions, target=1), expected)
