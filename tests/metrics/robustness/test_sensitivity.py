import pytest
import torch
from torch import nn

from lightning_explain import GradCAM, Input, Layer, Neuron, Occlusion, ProbeSet, Saliency, SmoothGrad, explain
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.inputs import leaves
from lightning_explain.metrics import AverageSensitivity, InputInvariance, MaxSensitivity
from lightning_explain.metrics.robustness.changes import norm, relative_change
from lightning_explain.metrics.robustness.noise import Noise, noisy_copies
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows, with_scores


def by_hand(model, inputs, method, copies, place=None):
    """Explain every noisy copy of every sample alone; norms number by number."""
    result = []
    for i in range(len(TARGET)):

        def explained(point, i=i):
            one = tuple(leaf[i : i + 1] for leaf in leaves(point))
            given = one if len(one) > 1 else one[0]
            values = explain(model, given, method, place, target=TARGET[i : i + 1]).values
            return [float(v) for leaf in leaves(values) for v in leaf.flatten()]

        original = explained(inputs)
        size = sum(v * v for v in original) ** 0.5
        changes = [
            sum((a - b) ** 2 for a, b in zip(explained(copy), original, strict=True)) ** 0.5 / size for copy in copies
        ]
        result.append(max(changes))
    return torch.tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "input_x_gradient"])
def test_it_is_the_worst_of_separately_explained_copies(method):
    model, x = Picture(), pictures()
    metric = MaxSensitivity(copies=3, radius=0.3, seed=5)
    copies = list(noisy_copies(x, Noise(3, 0.3, 5)))
    with evaluation_of(model, x, method) as evaluation:
        got = metric.per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, x, method, copies), atol=1e-9, rtol=1e-7)
    assert float(got.min()) > 0.01


@pytest.mark.parametrize("place", [None, Layer("conv"), Neuron("conv2", (1, 2, 3))])
def test_places(place):
    model, x = Picture(), pictures()
    copies = list(noisy_copies(x, Noise(2, 0.2, 0)))
    with evaluation_of(model, x, "saliency", place=place) as evaluation:
        got = MaxSensitivity(copies=2, radius=0.2).per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, x, "saliency", copies, place), atol=1e-9, rtol=1e-7)


def test_several_inputs_move_together():
    model, inputs = Pair(), (pictures(), 10 * rows())
    copies = list(noisy_copies(inputs, Noise(2, 0.1, 0)))
    with evaluation_of(model, inputs, "saliency") as evaluation:
        got = MaxSensitivity(copies=2).per_sample(evaluation)
    torch.testing.assert_close(got, by_hand(model, inputs, "saliency", copies), atol=1e-9, rtol=1e-7)


def test_coarse_maps_are_compared_before_they_are_upsampled():
    model, x = Picture(), pictures()
    method = GradCAM("conv2", signed=True)
    with evaluation_of(model, x, method) as evaluation:
        problem = evaluation.problem
        original = method(problem)
        worst = torch.zeros(4, dtype=torch.float64)
        for copy in noisy_copies(x, Noise(3, 0.1, 0)):
            worst = torch.maximum(worst, relative_change(method(problem.with_inputs(copy)), original))
        torch.testing.assert_close(MaxSensitivity().per_sample(evaluation), worst)
        assert original[0].shape == (4, 1, 6, 6)
        assert float(worst.min()) > 0


def test_the_gradient_of_a_linear_model_does_not_move():
    model, x = Linear((2, 6, 6)), pictures()
    for method in (Saliency(), Saliency(absolute=False), SmoothGrad(n_samples=3)):
        with evaluation_of(model, x, method) as evaluation:
            assert float(MaxSensitivity(radius=2.0).per_sample(evaluation).max()) < 1e-12


def test_input_x_gradient_of_a_linear_model_moves_with_the_noise():
    model, x = Linear((2, 6, 6)), pictures()
    weight = model.weight.detach()[TARGET]
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = MaxSensitivity(copies=3).per_sample(evaluation)
    expected = torch.stack([
        ((c - x) * weight).flatten(1).norm(dim=1) / (x * weight).flatten(1).norm(dim=1)
        for c in noisy_copies(x, Noise(3, 0.1, 0))
    ])
    torch.testing.assert_close(got, expected.amax(dim=0))


@pytest.mark.parametrize("max_rows", [1, 3, None])
def test_noise_of_the_method_itself_does_not_count(max_rows):
    """SmoothGrad draws the same noise for a sample and for its noisy copy, whatever the chunks."""
    model, x = Picture(), pictures()
    with evaluation_of(model, x, SmoothGrad(n_samples=2, stdev=0.5), budget=RowBudget(max_rows)) as evaluation:
        tiny = MaxSensitivity(copies=3, radius=1e-6).per_sample(evaluation)
        got = MaxSensitivity(copies=3).per_sample(evaluation)
    assert float(tiny.max()) < 1e-4
    with evaluation_of(model, x, SmoothGrad(n_samples=2, stdev=0.5), budget=RowBudget(1000)) as evaluation:
        torch.testing.assert_close(got, MaxSensitivity(copies=3).per_sample(evaluation))


def test_captum_agrees_on_the_same_noise():
    captum_metrics, attr = pytest.importorskip("captum.metrics"), pytest.importorskip("captum.attr")
    model, x = Picture(), pictures()
    copies = torch.stack(list(noisy_copies(x, Noise(5, 0.2, 1))), dim=1).flatten(0, 1)  # each sample's copies in a row
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = MaxSensitivity(copies=5, radius=0.2, seed=1).per_sample(evaluation)
    theirs = captum_metrics.sensitivity_max(
        lambda inputs, target: (attr.InputXGradient(model).attribute(inputs[0].requires_grad_(), target),),
        x.clone(),
        perturb_func=lambda _: (copies,),
        target=TARGET,
        n_perturb_samples=5,
    )
    torch.testing.assert_close(got, theirs, atol=1e-9, rtol=1e-7)


def test_captum_measures_dead_maps_without_dividing():
    captum_metrics = pytest.importorskip("captum.metrics")
    dead = torch.zeros(3, 2, dtype=torch.float64)
    settings = {"perturb_func": lambda inputs: (inputs + 1,), "n_perturb_samples": 2}
    theirs = captum_metrics.sensitivity_max(lambda inputs: (inputs[0] * 2,), dead, **settings)
    torch.testing.assert_close(theirs, torch.full((3,), 8**0.5, dtype=torch.float64))
    assert torch.isnan(relative_change((dead + 2,), (dead,))).all()


def test_more_copies_and_more_noise_can_only_raise_it():
    with evaluation_of(Picture(), pictures()) as evaluation:
        values = [MaxSensitivity(copies=c).per_sample(evaluation) for c in (1, 2, 8)]
        wide = MaxSensitivity(copies=8, radius=0.5).per_sample(evaluation)
    assert bool((values[1] >= values[0]).all())
    assert bool((values[2] > values[1]).any())
    assert float(wide.mean()) > float(values[2].mean())


def test_noise_is_uniform_in_units_of_each_input():
    x, row, flags = pictures(200, 12), 5 + 3 * rows(200, 400), torch.arange(400).view(200, 2)
    copies = list(noisy_copies({"x": x, "row": row, "flags": flags}, Noise(2, 0.25, 7)))
    assert [set(copy) for copy in copies] == [{"x", "row", "flags"}] * 2
    for name, leaf in (("x", x), ("row", row)):
        unit = leaf.flatten(1).std(dim=1, correction=0).view(-1, *[1] * (leaf.ndim - 1))
        scaled = torch.stack([copy[name] - leaf for copy in copies]) / (0.25 * unit)
        torch.testing.assert_close(scaled, scaled[:, :1].expand_as(scaled))  # the same draw for every sample
        assert float(scaled.abs().max()) <= 1 + 1e-12
        assert float(scaled.abs().max()) > 0.99
        assert float(scaled.var()) == pytest.approx(1 / 3, rel=0.1)
    assert torch.equal(copies[0]["flags"], flags)
    assert not torch.equal(copies[0]["x"], copies[1]["x"])


def test_noise_depends_on_the_seed_alone():
    x = pictures()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second, other = (list(noisy_copies(x, Noise(2, 0.1, seed))) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], other[0])
    # The same noise in every precision.
    halves = list(noisy_copies(x.to(torch.bfloat16), Noise(2, 0.1, 0)))
    assert halves[0].dtype == torch.bfloat16
    torch.testing.assert_close(halves[0].double(), first[0], atol=0.03, rtol=0)


def test_dead_and_broken_maps_are_undefined():
    original = torch.tensor([[0.0, 0.0], [1.0, 2.0], [torch.nan, 1.0], [1.0, 2.0], [1e-30, 0.0]])
    changed = torch.tensor([[1.0, 0.0], [1.0, 4.0], [0.0, 0.0], [torch.nan, 0.0], [1e-30, 1e-30]])
    got = relative_change((changed,), (original,))
    assert torch.isnan(got).tolist() == [True, False, True, True, False]
    assert float(got[1]) == pytest.approx(2 / 5**0.5)
    assert float(got[4]) == pytest.approx(1)  # float32 squares of it would be zero
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[2] = 0, torch.nan
        got = MaxSensitivity(copies=2).per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [True, False, True, False]


def test_one_broken_copy_makes_the_sample_undefined():
    class Fragile(nn.Module):
        def forward(self, x):
            return (x * torch.where(x > 1.03, torch.nan, 1.0)).square().sum(dim=1)

    x = torch.tensor([[0.0, 0.5], [1.0, -0.8], [0.2, 1.0]], dtype=torch.float64)
    with evaluation_of(Fragile(), x, target="output") as evaluation:
        got = MaxSensitivity(copies=30, radius=0.2).per_sample(evaluation)
    assert torch.isnan(got).tolist() == [False, True, True]


def test_integer_inputs_cannot_be_moved():
    tokens = ProbeSet.from_tensors(torch.randint(0, 9, (3, 5)), target=0)
    assert "no noise can be added" in MaxSensitivity().missing(Occlusion(), Input(), tokens)
    both = ProbeSet.from_tensors((torch.randint(0, 9, (3, 5)), torch.randn(3, 2)), target=0)
    assert MaxSensitivity().missing(Occlusion(), Input(), both) is None


def test_single_numbers_have_no_unit():
    numbers = {"age": torch.randn(3), "size": torch.randn(3, 1)}
    for metric in (MaxSensitivity(), InputInvariance()):
        reason = metric.missing(Saliency(), Input(), ProbeSet.from_tensors(numbers, target=0))
        assert "every input of the probe set is one number, which has no spread of its own" in reason
        beside = ProbeSet.from_tensors(numbers | {"row": torch.randn(3, 2)}, target=0)
        assert metric.missing(Saliency(), Input(), beside) is None


@pytest.mark.parametrize(("copies", "radius"), [(0, 0.1), (4, 0.0), (4, -1.0)])
def test_settings_are_checked(copies, radius):
    with pytest.raises(ValueError, match=f"copies must be at least 1 and radius positive, got {copies} and {radius}"):
        MaxSensitivity(copies=copies, radius=radius)


def test_the_average_is_that_of_separately_explained_copies():
    model, x = Picture(), pictures()
    copies = list(noisy_copies(x, Noise(4, 0.3, 5)))
    each = torch.stack([by_hand(model, x, "input_x_gradient", [copy]) for copy in copies])
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        got = AverageSensitivity(copies=4, radius=0.3, seed=5).per_sample(evaluation)
        worst = MaxSensitivity(copies=4, radius=0.3, seed=5).per_sample(evaluation)
    torch.testing.assert_close(got, each.mean(dim=0), atol=1e-9, rtol=1e-7)
    assert bool((got < worst).all())


def test_the_average_does_not_grow_with_the_copies():
    with evaluation_of(Linear((2, 6, 6)), pictures(), "input_x_gradient") as evaluation:
        few, many = (AverageSensitivity(copies=c).per_sample(evaluation) for c in (20, 200))
        grown = [MaxSensitivity(copies=c).per_sample(evaluation).mean() for c in (3, 200)]
    torch.testing.assert_close(few, many, atol=0, rtol=0.05)
    assert float(grown[1]) > 1.02 * float(grown[0])


def test_average_and_maximum_share_their_copies():
    seen, model = [], Picture()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, pictures(), "saliency") as evaluation:
        seen.clear()
        AverageSensitivity(copies=3).per_sample(evaluation)
        MaxSensitivity(copies=3).per_sample(evaluation)
    assert sum(seen) == 3 * 4


def test_the_average_of_dead_and_broken_maps_is_undefined():
    with evaluation_of(Picture(), pictures()) as evaluation:
        scores = evaluation.attribution.point[0].clone()
        scores[0], scores[2] = 0, torch.nan
        got = AverageSensitivity(copies=2).per_sample(with_scores(evaluation, scores))
    assert torch.isnan(got).tolist() == [True, False, True, False]
    tokens = ProbeSet.from_tensors(torch.randint(0, 9, (3, 5)), target=0)
    assert "no noise can be added" in AverageSensitivity().missing(Occlusion(), Input(), tokens)
    with pytest.raises(ValueError, match=r"copies must be at least 1 and radius positive, got 0 and 0\.1"):
        AverageSensitivity(copies=0)


def test_captum_moves_the_global_generator():
    captum_metrics = pytest.importorskip("captum.metrics")
    state = torch.get_rng_state()
    captum_metrics.sensitivity_max(lambda inputs: inputs, torch.rand(2, 3))
    after = torch.rand(1)
    torch.set_rng_state(state)
    torch.rand(2, 3)
    assert not torch.equal(torch.rand(1), after)


@pytest.mark.parametrize("order", [0.5, 1, 2.0, 3, torch.inf, -torch.inf])
def test_norms_of_any_order_are_over_all_tensors(order):
    point = torch.tensor([[1.0, -2.0], [0.5, 4.0]]), torch.tensor([[[3.0]], [[-7.0]]])
    for row in range(2):
        values = [abs(v) for leaf in point for v in leaf[row].flatten().tolist()]
        if abs(order) == float("inf"):
            expected = max(values) if order > 0 else min(values)
        else:
            expected = sum(v**order for v in values) ** (1 / order)
        assert float(norm(point, order)[row]) == pytest.approx(expected)


def test_a_dead_map_may_count_as_one_of_some_size():
    dead, moved = (torch.zeros(2, 2),), (torch.tensor([[3.0, 4.0], [0.0, 1.0]]),)
    assert relative_change(moved, dead, of_nothing=2.0).tolist() == [2.5, 0.5]
    assert relative_change(moved, dead, torch.inf, of_nothing=1.0).tolist() == [4, 1]
    assert relative_change(dead, moved, of_nothing=1.0).tolist() == [1, 1]
