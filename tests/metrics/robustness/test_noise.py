import gc
import weakref
from dataclasses import dataclass, replace

import pytest
import torch

from lightning_explain import Saliency
from lightning_explain.metrics import AverageSensitivity, LocalLipschitz, MaxSensitivity, RelativeInputStability
from lightning_explain.metrics.robustness.changes import elementwise_change
from lightning_explain.metrics.robustness.noise import Noise, displacement, noisy_changes, noisy_copies, worst
from lightning_explain.metrics.robustness.relative_stability import noisy_outputs
from metrics.evaluations import TARGET, Pair, Picture, evaluation_of, pictures, rows


def test_outputs_are_those_for_the_copies_that_are_explained():
    model, inputs = Pair(), (pictures(), rows())
    noise = Noise(3, 0.9, 4)
    with evaluation_of(model, inputs) as evaluation:
        outputs = noisy_outputs(evaluation.problem, noise)
        assert noisy_outputs(evaluation.problem, noise) is outputs
    with torch.no_grad():
        before = model(*inputs)
        for k, noisy in enumerate(noisy_copies(inputs, noise)):
            given = model(*noisy)
            torch.testing.assert_close(outputs.norms[k], (given - before).norm(dim=1))
            assert torch.equal(outputs.same[k], given.argmax(dim=1) == before.argmax(dim=1))
    assert outputs.norms.shape == (3, 4)
    assert len(outputs.same.unique()) == 2


def test_changes_are_those_of_separately_explained_copies():
    inputs, noise = (pictures(), 10 * rows()), Noise(2, 0.3, 1)
    with evaluation_of(Pair(), inputs) as evaluation:
        changes = noisy_changes(evaluation, noise, 0.1)
        assert noisy_changes(evaluation, noise, 0.1) is changes
        for k, noisy in enumerate(noisy_copies(inputs, noise)):
            after, before = evaluation.explain(evaluation.problem.with_inputs(noisy)), evaluation.point
            for i in range(4):
                way = torch.cat([(a[i] - b[i]).flatten() for a, b in zip(noisy, inputs, strict=True)])
                assert float(changes.distances[k, i]) == pytest.approx(float(way.norm()))
                moved = torch.cat([(a[i] - b[i]).flatten() for a, b in zip(after, before, strict=True)])
                assert float(changes.absolute[k, i]) == pytest.approx(float(moved.norm()))
                size = torch.cat([leaf[i].flatten() for leaf in before]).norm()
                assert float(changes.relative[k, i]) == pytest.approx(float(moved.norm() / size))
            torch.testing.assert_close(changes.of_input[k], elementwise_change(noisy, inputs, 0.1))
            torch.testing.assert_close(changes.elementwise[k], elementwise_change(after, before, 0.1))
    assert bool(changes.moved.all())


def test_noise_of_a_sample_does_not_depend_on_the_others():
    """In units of its own, and the same draw for all: samples are scored one by one."""
    x = pictures() * torch.tensor([1.0, 100.0, 0.01, 3.0]).view(4, 1, 1, 1)
    noise = Noise(2, 0.3, 5)
    alone = list(noisy_copies(x[2:3], noise))
    for copy, of_one in zip(noisy_copies(x, noise), alone, strict=True):
        torch.testing.assert_close(copy[2:3], of_one)
        unit = x.flatten(1).std(dim=1, correction=0).view(4, 1, 1, 1)
        drawn = (copy - x) / unit
        torch.testing.assert_close(drawn, drawn[:1].expand_as(drawn))


def test_more_copies_do_not_change_the_first_ones():
    x = pictures()
    few, many = (list(noisy_copies(x, Noise(copies))) for copies in (1, 3))
    assert torch.equal(few[0], many[0])
    assert not torch.equal(many[0], many[1])


@pytest.mark.parametrize("metric", [MaxSensitivity, AverageSensitivity, LocalLipschitz, RelativeInputStability])
def test_a_score_does_not_depend_on_who_else_is_in_the_probe_set(metric):
    model, x = Picture(), pictures() * torch.tensor([1.0, 5.0, 0.2, 2.0]).view(4, 1, 1, 1)
    with evaluation_of(model, x, "input_x_gradient") as evaluation:
        together = metric().per_sample(evaluation)
    for i in range(4):
        with evaluation_of(model, x[i : i + 1], "input_x_gradient", target=TARGET[i : i + 1]) as evaluation:
            torch.testing.assert_close(metric().per_sample(evaluation), together[i : i + 1])


@pytest.mark.parametrize("metric", [MaxSensitivity, AverageSensitivity, LocalLipschitz, RelativeInputStability])
def test_what_no_noise_moves_is_undefined(metric):
    x = pictures()
    x[1] = 0.7  # without spread, and therefore without a unit
    with evaluation_of(Picture(), x, "input_x_gradient") as evaluation:
        assert metric().per_sample(evaluation).isnan().tolist() == [False, True, False, False]


def test_no_copy_is_kept():
    """However many copies there are, only numbers for each sample stay."""
    explained = []
    with evaluation_of(Picture(), pictures()) as evaluation:
        plain = evaluation.explainer.method

        @dataclass(frozen=True)
        class Watched(Saliency):
            def __call__(self, problem):
                point = plain(problem)
                explained.extend(weakref.ref(leaf) for leaf in point)
                return point

        watched = replace(evaluation, explainer=replace(evaluation.explainer, method=Watched()))
        noisy_changes(watched, Noise(5))
    gc.collect()
    assert len(explained) == 5
    assert [leaf() for leaf in explained] == [None] * 5


def test_methods_share_the_outputs_and_noises_do_not():
    seen = []
    model = Pair()
    model.register_forward_hook(lambda _module, args, _result: seen.append(len(args[0])))
    with evaluation_of(model, (pictures(), rows())) as evaluation:
        seen.clear()
        for _ in range(2):
            noisy_outputs(evaluation.problem, Noise(2, 0.1, 0))
        assert sum(seen) == 2 * len(TARGET)
        noisy_outputs(evaluation.problem, Noise(2, 0.1, 1))
        assert sum(seen) == 4 * len(TARGET)


def test_integers_have_no_part_in_the_displacement():
    inputs = {"x": rows().float(), "ids": torch.arange(8).view(4, 2)}
    copy = next(noisy_copies(inputs, Noise(1, 0.5, 0)))
    (moved,) = displacement(copy, inputs)
    assert moved.dtype == torch.float64
    torch.testing.assert_close(moved, copy["x"].double() - inputs["x"].double())


def test_the_worst_of_those_that_count():
    nan = torch.nan
    values = torch.tensor([[1.0, 5.0, nan, 2.0, nan], [3.0, 4.0, 1.0, nan, 9.0]])
    counts = torch.tensor([[True, False, False, True, False], [True, True, True, True, False]])
    torch.testing.assert_close(worst(values, counts), torch.tensor([3.0, 4.0, 1.0, nan, nan]), equal_nan=True)
