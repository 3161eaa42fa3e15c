import warnings

import captum.attr
import captum.metrics
import pytest
import torch
from torch import nn

from lightning_explain.captum import metrics
from lightning_explain.captum.metrics import default_perturb_func

FEW = 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(6, 5), nn.Linear(2, 5), nn.Linear(5, 3)
        self.double().eval()

    def forward(self, x, *rest):
        hidden = self.first(x.flatten(1))
        for factor in rest:
            if torch.is_tensor(factor) and factor.shape[1:] == (2,):
                hidden = hidden + self.second(factor)
            elif factor is not None:
                hidden = hidden * (factor.view(-1, 1) if torch.is_tensor(factor) else factor)
        return self.head(torch.tanh(hidden))


def inputs(two=False, n=FEW, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, 2, 3, generator=generator), torch.randn(n, 2, generator=generator)
    return (x.double(), y.double()) if two else x.double()


def noise():
    generator = torch.Generator().manual_seed(3)

    def perturb(given, radius):
        tensors = given if isinstance(given, tuple) else (given,)
        made = [leaf + radius * torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) for leaf in tensors]
        return tuple(made) if isinstance(given, tuple) else made[0]

    return perturb


def both(method, settings, two=False):
    results = []
    for package in (metrics, captum.metrics):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call = {"perturb_func": noise(), "perturb_radius": 0.3, "n_perturb_samples": 7} | settings
            results.append(package.sensitivity_max(method(Net()).attribute, inputs(two), **call))
    return results


def agree(pair, least=1e-3):
    ours, theirs = pair
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-9)
    assert float(ours.min()) > least


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("most", [None, 1, FEW, 3 * FEW + 1, 99])
@pytest.mark.parametrize("norm", ["fro", 1, 2.0, float("inf"), float("-inf"), 0.5])
def test_it_agrees_with_captum(two, most, norm):
    settings = {"target": [0, 2, 1, 1], "max_examples_per_batch": most, "norm_ord": norm}
    agree(both(captum.attr.InputXGradient, settings, two), least=1e-9)


@pytest.mark.parametrize("target", [1, torch.tensor([0, 2, 1, 1]), [0, 2, 1, 1]])
@pytest.mark.parametrize("further", [None, 0.5, torch.tensor([1.0, -1.0, 2.0, 0.5]), (None, inputs(two=True)[1], 2.0)])
def test_what_goes_with_the_samples_is_repeated(target, further):
    settings = {"target": target, "additional_forward_args": further, "max_examples_per_batch": 9}
    agree(both(captum.attr.Saliency, settings))


@pytest.mark.parametrize("baselines", [inputs(seed=5), inputs(seed=5)[:1], 0.3, None])
def test_baselines(baselines):
    agree(
        both(
            captum.attr.IntegratedGradients,
            {"target": 1, "baselines": baselines} if baselines is not None else {"target": 1},
        )
    )


def test_feature_masks_are_repeated():
    """Captum passes them on as they are, for fewer samples than there are."""
    mask = torch.randint(0, 3, (FEW, 2, 3), generator=torch.Generator().manual_seed(0))
    ablation = captum.attr.FeatureAblation(Net()).attribute
    settings = {"perturb_func": lambda x: x * 1.3, "n_perturb_samples": 3, "target": 1}
    got = metrics.sensitivity_max(ablation, inputs(), feature_mask=mask, **settings)
    alone = [
        metrics.sensitivity_max(ablation, inputs()[i : i + 1], feature_mask=mask[i : i + 1], **settings)
        for i in range(FEW)
    ]
    torch.testing.assert_close(got, torch.cat(alone))
    with pytest.raises(RuntimeError, match=r"tensor a \(12\) must match the size of tensor b \(4\)"):
        captum.metrics.sensitivity_max(ablation, inputs(), feature_mask=mask, **settings)


def test_dead_maps_count_as_maps_of_size_one():
    settings = {"perturb_func": lambda inputs: (inputs + 1,), "n_perturb_samples": 2}
    dead = torch.zeros(3, 2, dtype=torch.float64)
    pair = [package.sensitivity_max(lambda x: (x[0] * 2,), dead, **settings) for package in (metrics, captum.metrics)]
    agree(pair)
    torch.testing.assert_close(pair[0], torch.full((3,), 8**0.5, dtype=torch.float64))


def calls(package, radius):
    seen = []

    def explained(given, **kwargs):
        seen.append((type(given), kwargs))
        return tuple(2 * leaf for leaf in given) if isinstance(given, tuple) else 2 * given

    def perturbed(given, *radius):
        seen.append((type(given), len(given), radius))
        return given * 1.1

    settings = {"n_perturb_samples": 3, "max_examples_per_batch": 2 * FEW, "option": 5, "perturb_radius": 0.25}
    two = lambda given, radius: perturbed(given, radius)  # noqa: E731
    package.sensitivity_max(explained, inputs(), two if radius else lambda given: perturbed(given), **settings)
    return seen


@pytest.mark.parametrize("radius", [False, True])
def test_functions_are_called_as_captum_calls_them(radius):
    assert calls(metrics, radius) == calls(captum.metrics, radius)


def test_uniform_noise_by_default():
    x = torch.zeros(200, 300), torch.ones(200, 4, dtype=torch.bfloat16)
    state = torch.get_rng_state()
    first, again = default_perturb_func(x, 0.5), default_perturb_func(x, 0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(first, tuple)
    assert isinstance(default_perturb_func(x[0]), tuple)
    assert [leaf.dtype for leaf in first] == [torch.float32, torch.bfloat16]
    assert not torch.equal(first[0], again[0])
    assert float(first[0].abs().max()) <= 0.5
    assert float(first[0].var()) == pytest.approx(1 / 12, rel=0.02)
    assert not torch.equal(first[0][0], first[0][1])
    assert float((default_perturb_func(x)[0]).abs().max()) == pytest.approx(0.02, rel=0.01)
    assert default_perturb_func(torch.zeros(2, 3, dtype=torch.long))[0].dtype == torch.float32


def test_the_default_noise_follows_from_the_users_seed_and_moves_nothing():
    explain = lambda given: (given[0] if isinstance(given, tuple) else given).square()  # noqa: E731

    def score(seed, **settings):
        torch.manual_seed(seed)
        return metrics.sensitivity_max(explain, inputs(), **settings)

    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = score(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(score(1), first)
    assert not torch.equal(score(2), first)
    # Other draws in each part: the largest of ten is not that of one.
    chunked, alone = score(1, max_examples_per_batch=FEW), score(1, n_perturb_samples=1)
    assert bool((chunked > alone).any())
    assert 0.3 < float(chunked.mean() / first.mean()) < 3


def test_a_nan_is_not_hidden():
    explain = lambda given: (given[0] if isinstance(given, tuple) else given).log()  # noqa: E731
    got = metrics.sensitivity_max(
        explain, torch.tensor([[2.0, 3.0], [0.01, 1.0]]), perturb_radius=0.5, n_perturb_samples=40
    )
    assert got.isnan().tolist() == [False, True]


def test_precision():
    explain = lambda model: lambda x: captum.attr.InputXGradient(model).attribute(x, target=1)  # noqa: E731
    settings = {"perturb_func": lambda x: x * 1.25}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = metrics.sensitivity_max(explain(Net()), inputs(), **settings)
        half = metrics.sensitivity_max(explain(Net().bfloat16()), inputs().bfloat16(), **settings)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), exact, atol=0.05, rtol=0.1)


def test_bad_arguments():
    for package in (metrics, captum.metrics):
        with pytest.raises(AssertionError, match="tuple"):
            package.sensitivity_max(lambda x: x, [inputs()])
    with pytest.raises(TypeError, match="Inputs are a tensor or a tuple of tensors, got list"):
        metrics.sensitivity_max(lambda x: x, [inputs()])
    with pytest.raises(ValueError, match="norm_ord must be 'fro' or a number, got 'nuc'"):
        metrics.sensitivity_max(lambda x: x, inputs(), norm_ord="nuc")
    with pytest.raises(ValueError, match="Both must be tensors of the same shapes"):
        metrics.sensitivity_max(lambda x: x if isinstance(x, tuple) else x[:, :1], inputs(), lambda x: x)
    with pytest.warns(UserWarning, match="max_examples_per_batch should be from 4, .* to 40, all of them; got 3"):
        metrics.sensitivity_max(lambda x: x, inputs(), max_examples_per_batch=3)
