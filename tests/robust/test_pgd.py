import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metrics.evaluations import TARGET, Picture, pictures

from lightning_explain.robust import FGSM, L2, PGD, Bounds, LInf, compare_attacks, perturb

NORMS = {"Linf": LInf(), "L2": L2()}


def by_hand(model, x, target, radius, step, steps, norm, low, high, targeted=False):
    """Sample by sample, number by number, from the paper's formula."""
    result = []
    for i in range(len(x)):
        point = x[i : i + 1].clone()
        for _ in range(steps):
            variable = point.clone().requires_grad_()
            loss = torch.nn.functional.cross_entropy(model(variable), target[i : i + 1])
            (gradient,) = torch.autograd.grad(loss, variable)
            size = sum(float(g) ** 2 for g in gradient.flatten()) ** 0.5
            way = gradient.sign() if norm == "Linf" else gradient / size
            moved = point + (-step if targeted else step) * way
            change = moved - x[i : i + 1]
            if norm == "Linf":
                change = change.clamp(-radius, radius)
            else:
                far = sum(float(c) ** 2 for c in change.flatten()) ** 0.5
                change = change * min(1.0, radius / far)
            point = (x[i : i + 1] + change).clamp(low, high)
        result.append(point)
    return torch.cat(result)


@pytest.mark.parametrize("max_rows", [None, 3])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_it_is_the_papers_iteration(norm, targeted, max_rows):
    model, x = Picture(), pictures()
    attack = PGD(0.3, 0.1, 5, NORMS[norm], targeted, Bounds(-0.9, 1.1))
    got = perturb(model, x, attack, TARGET, max_rows=max_rows)
    torch.testing.assert_close(got, by_hand(model, x, TARGET, 0.3, 0.1, 5, norm, -0.9, 1.1, targeted))


@given(
    norm=st.sampled_from(list(NORMS)),
    radius=st.floats(0, 2),
    step=st.floats(0, 3),
    steps=st.integers(0, 3),
    seed=st.one_of(st.none(), st.integers(0, 99)),
    drawn=st.integers(0, 99),
)
def test_it_stays_in_the_ball_and_the_bounds_and_off_the_mask(norm, radius, step, steps, seed, drawn):
    generator = torch.Generator().manual_seed(drawn)
    x = torch.rand(3, 2, 4, generator=generator, dtype=torch.float64)
    free = (torch.rand(3, 2, 4, generator=generator) > 0.3).double()
    attack = PGD(radius, step, steps, NORMS[norm], bounds=Bounds(0, 1), seed=seed)
    (got,) = attack(lambda z: (torch.randn(z[0].shape, generator=generator, dtype=torch.float64),), (x,), (free,))
    change = got - x
    order = 2 if norm == "L2" else torch.inf
    assert float(torch.linalg.vector_norm(change.flatten(1), order, dim=1).max()) <= radius + 1e-9
    assert float(got.min()) >= 0
    assert float(got.max()) <= 1
    assert bool((change[free == 0] == 0).all())


def test_one_step_as_long_as_the_radius_is_fgsm():
    model, x = Picture(), pictures()
    assert torch.equal(perturb(model, x, PGD(0.1, 0.1, 1), TARGET), perturb(model, x, FGSM(0.1), TARGET))


def test_more_steps_do_more_harm():
    model, x = Picture(), pictures()

    def harm(attack):
        return compare_attacks(model, x, {"it": attack}, TARGET)["it"].surprise.mean().item()

    losses = [harm(FGSM(0.0)), harm(PGD(0.2, 0.05, 1)), harm(PGD(0.2, 0.05, 3)), harm(PGD(0.2, 0.05, 8))]
    assert losses == sorted(losses)
    assert losses[3] > losses[0] + 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_random_starts_follow_from_the_seed_alone(norm):
    x = torch.rand(4, 3, 5, dtype=torch.float64)
    free = torch.ones_like(x)
    state = torch.get_rng_state()
    same, again, other = (PGD(0.5, 0.1, 0, NORMS[norm], seed=seed)(None, (x,), (free,))[0] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(same, again)
    assert not torch.equal(same, other)
    assert torch.equal(PGD(0.5, 0.1, 0, NORMS[norm])(None, (x,), (free,))[0], x)
    first_rows = PGD(0.5, 0.1, 0, NORMS[norm], seed=1)(None, (x,), (free,))[0][:2] - x[:2]
    assert not torch.equal(first_rows[0], first_rows[1])


def test_each_of_several_inputs_has_its_ball():
    x = (torch.zeros(2, 3), torch.zeros(2, 2))
    free = tuple(torch.ones_like(leaf) for leaf in x)
    slopes = (torch.tensor([[3.0, 0, 4.0], [0, 0, 0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    got = PGD(1.0, 5.0, 2, L2())(lambda _: slopes, x, free)
    torch.testing.assert_close(got[0], torch.tensor([[0.6, 0, 0.8], [0, 0, 0]]))
    torch.testing.assert_close(got[1], torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


def test_other_steps_than_the_balls_norm():
    x, slope = (torch.zeros(1, 2),), lambda _: (torch.tensor([[3.0, -4.0]]),)
    got = PGD(1.0, 0.5, 1, L2(), ascent=LInf())(slope, x, (torch.ones(1, 2),))[0]
    torch.testing.assert_close(got, torch.tensor([[0.5, -0.5]]))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="radius must be numbers from 0 up, got -1"):
        PGD(-1, 0.1, 2)
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        PGD(1, 0.1, -1)
    with pytest.raises(TypeError, match=r"steps must be an integer, got 2\.5"):
        PGD(1, 0.1, 2.5)
    with pytest.raises(ValueError, match=r"A ball in L2\(\) has one radius, got a tensor \(3,\)"):
        PGD(torch.ones(3), 0.1, 2, L2())
