from dataclasses import replace

import pytest
import torch
from metrics.evaluations import TARGET, Linear, Pair, Picture, pictures, problem_of, rows

from lightning_explain import Input, Layer
from lightning_explain.attribution.fill import FILLS, NOISE, fill
from lightning_explain.attribution.imputation import impute
from lightning_explain.attribution.removal import feature_space


def filled(problem, name, removed=None, copies=None, chosen=None):
    """What the fill puts into the features ``removed`` (m, D), of the samples ``chosen``."""
    chosen = torch.arange(problem.samples) if chosen is None else torch.tensor(chosen)
    copies = torch.zeros_like(chosen) if copies is None else torch.tensor(copies)
    space = feature_space(problem)
    removed = torch.ones(len(chosen), space.count, dtype=torch.bool) if removed is None else removed
    return fill(name)(problem, chosen, copies, space.scatter(removed))


def test_an_unknown_fill_is_refused():
    with pytest.raises(ValueError, match=r"(?s)fill 'nosy_linear'.*noisy_linear"):
        fill("nosy_linear")


@pytest.mark.parametrize("name", FILLS)
def test_every_fill_has_the_shape_and_type_of_the_variable(name):
    for dtype in (torch.float32, torch.bfloat16):
        x = pictures(3).to(dtype)
        with problem_of(Picture().to(dtype), x, TARGET[:3], baseline=0.5) as problem:
            (got,) = filled(problem, name, chosen=[2, 0], copies=[1, 1])
            assert (got.shape, got.dtype) == ((2, 2, 6, 6), dtype)
            assert bool(torch.isfinite(got).all())


@pytest.mark.parametrize("name", FILLS)
def test_the_seed_moves_random_fills_alone(name):
    with problem_of(Picture(), pictures()) as problem:
        space, rows_, copies = feature_space(problem), torch.arange(4), torch.ones(4, dtype=torch.long)
        masks = space.scatter(torch.ones(4, space.count, dtype=torch.bool))
        zero, again, one = (fill(name)(problem, rows_, copies, masks, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(zero, again)
    assert torch.equal(zero, one) is (name not in {"uniform", "noisy_linear"})


def test_the_baseline_is_the_problems():
    x0 = pictures(seed=5)
    with problem_of(Picture(), pictures(), baseline=x0) as problem:
        assert torch.equal(filled(problem, "baseline", chosen=[3, 1, 1])[0], x0[[3, 1, 1]])


@pytest.mark.parametrize("place", [Input(), Layer("conv")], ids=str)
def test_zeros_and_mean_are_those_of_the_variable(place):
    model, x = Picture(), pictures()
    with problem_of(model, x, place=place) as problem:
        z = x if place == Input() else model.conv(x).detach()
        assert filled(problem, "zeros")[0].abs().max() == 0
        torch.testing.assert_close(filled(problem, "mean", chosen=[1, 2])[0], z.mean(dim=0).expand(2, *z.shape[1:]))


def test_uniform_values_lie_in_each_samples_range_and_differ_by_copy():
    x = pictures() * torch.tensor([1.0, 10.0, 100.0, 0.0]).view(4, 1, 1, 1)
    with problem_of(Picture(), x) as problem:
        (got,) = filled(problem, "uniform", chosen=[0, 1, 2, 3, 0], copies=[4, 4, 4, 4, 5])
    low, high = x.flatten(1).amin(dim=1), x.flatten(1).amax(dim=1)
    for i, sample in enumerate([0, 1, 2, 3, 0]):
        assert bool((got[i] >= low[sample]).all() & (got[i] <= high[sample]).all())
    share = (got[:3] - low[:3].view(3, 1, 1, 1)) / (high - low)[:3].view(3, 1, 1, 1)
    torch.testing.assert_close(share[0], share[1])  # the same draw for all samples
    torch.testing.assert_close(share[0], share[2])
    assert not torch.allclose(got[0], got[4])
    assert 0.4 < float(share[0].mean()) < 0.6
    assert float(got[3].abs().max()) == 0


@pytest.mark.parametrize("name", ["uniform", "noisy_linear"])
def test_draws_depend_on_the_copy_and_on_nothing_else(name):
    x = pictures()
    with problem_of(Picture(), x) as problem:
        removed = torch.rand(2, 36, generator=torch.Generator().manual_seed(0)) < 0.5
        torch.manual_seed(1)
        state = torch.get_rng_state()
        (one,) = filled(problem, name, removed, chosen=[0, 1], copies=[2, 3])
        assert torch.equal(torch.get_rng_state(), state)
        (other,) = filled(problem, name, removed[1:], chosen=[1], copies=[3])
        torch.testing.assert_close(one[1:], other, atol=1e-5, rtol=0)
        assert not torch.allclose(filled(problem, name, removed[1:], chosen=[1], copies=[4])[0], other, atol=1e-5)


@pytest.mark.parametrize("channel_dim", [1, -1])
def test_noisy_linear_is_what_the_neighbours_say_and_a_little_noise(channel_dim):
    x = pictures(3, size=16)
    removed = torch.rand(3, 256, generator=torch.Generator().manual_seed(0)) < 0.4
    expected = impute(x, removed.view(3, 1, 16, 16))
    laid = x if channel_dim == 1 else x.movedim(1, -1).contiguous()
    with problem_of(Linear(laid.shape[1:]), laid, TARGET[:3], place=Input(channel_dim=channel_dim)) as problem:
        (got,) = filled(problem, "noisy_linear", removed, copies=[0, 1, 2])
    noise = (got if channel_dim == 1 else got.movedim(-1, 1)) - expected
    for i in range(3):
        strength = float(noise[i].std() / x[i].std())
        assert 0.8 * NOISE < strength < 1.2 * NOISE
        assert abs(float(noise[i].mean() / x[i].std())) < 0.2 * NOISE


def test_where_all_is_removed_stands_the_mean_of_each_channel():
    x = pictures(2, size=16) + torch.tensor([3.0, -2.0]).view(1, 2, 1, 1)
    removed = torch.stack([torch.ones(256), torch.zeros(256)]).bool()
    with problem_of(Picture(), x, TARGET[:2]) as problem:
        (got,) = filled(problem, "noisy_linear", removed)
    assert got[0].mean(dim=(1, 2)).tolist() == pytest.approx(x[0].mean(dim=(1, 2)).tolist(), abs=0.02)
    assert float(got[0].std(dim=(1, 2)).max()) < 3 * NOISE * float(x[0].std())


def test_every_input_is_imputed_from_its_own_neighbours():
    image, table = pictures(), rows()
    removed = torch.zeros(4, 41, dtype=torch.bool)
    removed[:, 36 + 2] = True
    with problem_of(Pair(), (image, table)) as problem:
        got = filled(problem, "noisy_linear", removed)
    torch.testing.assert_close(got[0], image, atol=5 * NOISE * float(image.std()), rtol=0)
    middle = (table[:, 1] + table[:, 3]) / 2
    assert (got[1][:, 2] - middle).abs().max() < 5 * NOISE * float(table.std(dim=1).max())


def test_a_single_position_has_no_neighbours_but_a_baseline():
    x = torch.randn(3, 2, 1, 1, dtype=torch.float64)
    with problem_of(Linear((2, 1, 1)), x, TARGET[:3], baseline=0.25) as problem:
        assert filled(problem, "noisy_linear")[0].unique().tolist() == [0.25]


@pytest.mark.parametrize("name", ["uniform", "noisy_linear"])
def test_integers_stay_as_they_are(name):
    class Bag(torch.nn.Module):
        def forward(self, tokens):
            return torch.nn.functional.one_hot(tokens, 9).double().sum(dim=1)

    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    with problem_of(Bag(), tokens, TARGET[:2], baseline=torch.zeros_like(tokens)) as problem:
        assert torch.equal(filled(problem, name, chosen=[1, 0])[0], tokens[[1, 0]])


def test_what_a_fill_makes_of_the_variable_is_made_once(monkeypatch):
    calls = []
    with problem_of(Picture(), pictures()) as problem:
        remembered = type(problem).remembered
        monkeypatch.setattr(
            type(problem),
            "remembered",
            lambda self, key, make: remembered(self, key, lambda: calls.append(key) or make()),
        )
        first, second = filled(problem, "blur"), filled(problem, "blur")
        assert torch.equal(first[0], second[0])
        assert calls == [("fill", "blur")]
        filled(replace(problem), "blur")
        assert len(calls) == 2
