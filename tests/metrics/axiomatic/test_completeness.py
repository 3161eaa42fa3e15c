from dataclasses import replace

import pytest
import torch

from lightning_explain import Input, InputXGradient, IntegratedGradients, Layer, ProbeSet, Saliency
from lightning_explain.metrics import Completeness, CompletenessGap
from lightning_explain.metrics.axiomatic.completeness import completeness_gap
from metrics.evaluations import TARGET, Linear, Pair, Picture, evaluation_of, pictures, rows


def by_hand(model, inputs, baseline, attribution, target):
    """|sum of attributions - (f(x) - f(x0))| / |f(x) - f(x0)|, sample by sample, number by number."""
    gaps = []
    for i in range(len(target)):
        total = 0.0
        for leaf in attribution:
            for number in leaf[i].flatten().tolist():
                total += number
        with torch.no_grad():
            at = float(model(*[x[i : i + 1] for x in inputs])[0, target[i]])
            start = float(model(*[x[i : i + 1] for x in baseline])[0, target[i]])
        gaps.append(abs(total - (at - start)) / abs(at - start))
    return torch.tensor(gaps, dtype=torch.float64)


@pytest.mark.parametrize("steps", [2, 3, 8])
def test_gap_is_the_sum_that_is_missing(steps):
    model, x = Picture(), pictures()
    with evaluation_of(model, x, IntegratedGradients(n_steps=steps), baseline=0.3) as evaluation:
        got = CompletenessGap().per_sample(evaluation)
        point = evaluation.attribution.point
    expected = by_hand(model, (x,), (torch.full_like(x, 0.3),), point, TARGET)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-6)
    assert float(got.min()) > 1e-12  # two and three steps are far from exact, eight not quite


def test_several_inputs_count_together():
    model, inputs = Pair(), (pictures(), rows())
    with evaluation_of(model, inputs, IntegratedGradients(n_steps=3)) as evaluation:
        got = CompletenessGap().per_sample(evaluation)
        point = evaluation.attribution.point
    expected = by_hand(model, inputs, tuple(map(torch.zeros_like, inputs)), point, TARGET)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-6)


def test_linear_models_leave_no_gap_at_any_number_of_steps():
    model, x = Linear((2, 6, 6)), pictures()
    with evaluation_of(model, x, IntegratedGradients(n_steps=1)) as evaluation:
        torch.testing.assert_close(evaluation.attribution.point[0], x * model.weight.detach()[TARGET])
        assert float(CompletenessGap().per_sample(evaluation).max()) < 1e-12


def test_gap_falls_with_the_number_of_steps_at_a_layer_too():
    gaps = []
    for steps in (1, 4, 16):
        with evaluation_of(Picture(), pictures(), IntegratedGradients(steps), place=Layer("conv")) as evaluation:
            gaps.append(float(CompletenessGap().per_sample(evaluation).mean()))
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2]


def test_undefined_where_there_is_nothing_to_explain():
    got = completeness_gap(torch.tensor([0.5, -0.5, torch.nan]), torch.tensor([0.0, -2.0, 1.0]), torch.ones(3))
    assert torch.isnan(got).tolist() == [True, False, True]
    assert float(got[1]) == 0.25


def test_undefined_where_nearly_nothing_is_to_be_explained():
    """Large numbers that cancel leave their rounding: of that a gap would be a million."""
    delta, span = torch.tensor([0.1, 0.1, 0.1]), torch.tensor([1e-7, 1e-7, 0.2])
    got = completeness_gap(delta, span, torch.tensor([5.0, 1e-5, 5.0]))
    assert torch.isnan(got).tolist() == [True, False, False]
    assert float(got[2]) == pytest.approx(0.5)

    class Bump(torch.nn.Module):
        """As high at 1 as at 0, but for a little, and high in between."""

        def forward(self, x):
            return (x * (1 - x) * 4 + 1e-9 * x).sum(dim=1)

    with evaluation_of(Bump(), torch.ones(2, 3, dtype=torch.float64), IntegratedGradients(2), target="output") as bump:
        scores = bump.attribution.point[0].clone()
        scores[:, 0] += 1
        scores[:, 1] -= 1.01
        attribution = replace(bump.attribution, point=(scores,))
        assert CompletenessGap().per_sample(replace(bump, attribution=attribution)).isnan().all()
    with evaluation_of(Picture(), pictures(), IntegratedGradients(2)) as evaluation:
        flat = replace(evaluation.attribution, span=torch.full((4,), 1e-9, dtype=torch.float64))
        assert CompletenessGap().per_sample(replace(evaluation, attribution=flat)).isnan().all()
        assert Completeness().per_sample(replace(evaluation, attribution=flat)).isnan().all()


def test_only_complete_methods_are_scored():
    probe = ProbeSet.from_tensors(pictures(), target=0)
    for metric in (CompletenessGap(), Completeness()):
        for method in (Saliency(), InputXGradient(), IntegratedGradients(multiply_by_inputs=False)):
            assert "need not add up" in metric.missing(method, Input(), probe)
        assert metric.missing(IntegratedGradients(), Input(), probe) is None
        with (
            evaluation_of(Picture(), pictures()) as evaluation,
            pytest.raises(ValueError, match="saliency gives no convergence delta"),
        ):
            metric.per_sample(evaluation)


def test_completeness_is_a_gap_within_the_tolerance():
    with evaluation_of(Picture(), pictures(), IntegratedGradients(2)) as evaluation:
        gaps = CompletenessGap().per_sample(evaluation).tolist()
        middle = sum(sorted(gaps)[1:3]) / 2
        expected = [1.0 if gap < middle else 0.0 for gap in gaps]
        assert sum(expected) == 2
        metric = Completeness(tolerance=middle)
        metric.update(evaluation)
        assert metric.score().per_sample == tuple(expected)
        assert float(metric.compute()) == 0.5
        attribution = replace(evaluation.attribution, span=torch.zeros(4, dtype=torch.float64))
        assert metric.per_sample(replace(evaluation, attribution=attribution)).isnan().all()
        attribution = replace(evaluation.attribution, delta=torch.tensor([torch.nan, torch.inf, 0, 0]).double())
        got = metric.per_sample(replace(evaluation, attribution=attribution))
        assert got.isnan().tolist() == [True, True, False, False]


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="The tolerance is a share of the difference in score, at least 0, got"):
        Completeness(tolerance=-0.1)


def test_quantus_finds_exact_attributions_incomplete(quantus):
    """Of a linear model, w times x is complete by definition; floating point sums are not equal to the last bit."""
    model, x = Linear((2, 6, 6)).float().eval(), pictures(320).float()
    target = torch.zeros(320, dtype=torch.long)
    with evaluation_of(model, x, IntegratedGradients(1), target=target) as evaluation:
        ours = Completeness().per_sample(evaluation)
        given = evaluation.attribution.point[0].numpy()
    defined = ours[ours.isfinite()]
    assert len(defined) >= 318  # sums that happen to be nearly 0 have no share
    assert set(defined.tolist()) == {1}
    for normalise, most in ((False, 0.9), (True, 0)):
        oracle = quantus.Completeness(normalise=normalise, perturb_baseline=0.0, disable_warnings=True)
        theirs = oracle(model=model, x_batch=x.numpy(), y_batch=target.numpy(), a_batch=given.copy())
        assert sum(theirs) / 320 <= most
