import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap, norm, sem, t

from lightning_explain.metrics import Score
from lightning_explain.metrics.score import CONFIDENCE, RESAMPLES, bootstrap_interval, expanded_tail


def drawn(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_scores_are_summarised_as_scipy_does():
    values = drawn(9)
    holes = values.clone()
    holes[[2, 5]] = torch.tensor([torch.nan, torch.inf], dtype=torch.float64)
    kept = [float(v) for i, v in enumerate(values) if i not in {2, 5}]
    score = Score.of(holes, higher_is_better=True)
    assert (score.n, score.undefined, score.higher_is_better) == (7, 2, True)
    assert score.mean == pytest.approx(sum(kept) / 7)
    assert score.standard_error == pytest.approx(float(sem(kept)))
    assert [math.isnan(v) for v in score.per_sample] == [i in {2, 5} for i in range(9)]
    assert [v for v in score.per_sample if not math.isnan(v)] == kept


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int64])
def test_scores_of_any_type(dtype):
    score = Score.of(torch.tensor([1, 2, 4], dtype=dtype))
    assert score.per_sample == (1.0, 2.0, 4.0)
    assert score.standard_error == pytest.approx(float(sem([1, 2, 4])))


@pytest.mark.parametrize("values", [[], [torch.nan, -torch.inf]])
def test_nothing_defined_has_no_mean(values):
    score = Score.of(torch.tensor(values))
    assert (score.n, score.undefined) == (0, len(values))
    assert all(math.isnan(v) for v in (score.mean, score.standard_error, score.low, score.high))


def test_one_sample_has_a_mean_and_no_error():
    score = Score.of(torch.tensor([torch.nan, 3.0]))
    assert (score.mean, score.n, score.undefined) == (3.0, 1, 1)
    assert all(math.isnan(v) for v in (score.standard_error, score.low, score.high))


def theirs(values, resamples, seed):
    """SciPy's percentile bootstrap at the percentiles that Hesterberg asks for."""
    n = len(values)
    tail = norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1))
    return bootstrap(
        (values.numpy(),),
        np.mean,
        n_resamples=resamples,
        confidence_level=1 - 2 * tail,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval


@pytest.mark.parametrize("n", [8, 16, 40])
@pytest.mark.parametrize("skewed", [False, True])
def test_the_interval_is_the_expanded_percentile_bootstrap(n, skewed):
    values = drawn(n, seed=n).exp() if skewed else drawn(n, seed=n)
    low, high = bootstrap_interval(values)
    expected = theirs(values, 20_000, 0)
    error = float(values.std(correction=0)) / math.sqrt(n)
    # An end scatters by sqrt(tail (1 - tail) / 1000) / (normal density there): 0.085 standard errors for many samples,
    # 0.15 for 8 of them; four of these.
    assert low == pytest.approx(expected.low, abs=(0.6 if n == 8 else 0.4) * error)
    assert high == pytest.approx(expected.high, abs=(0.6 if n == 8 else 0.4) * error)
    assert low < float(values.mean()) < high


def test_many_resamples_come_nearer():
    values = drawn(25).exp()
    ends = bootstrap_interval(values, resamples=50_000)
    assert ends == pytest.approx(tuple(theirs(values, 50_000, 1)), abs=0.05 * float(values.std()) / 5)


@pytest.mark.parametrize("n", [4, 5, 8, 32, 1000])
@pytest.mark.parametrize("tail", [0.025, 0.05, 0.25])
def test_percentiles_are_expanded_as_students_t_has_it(n, tail):
    expected = norm.cdf(math.sqrt(n / (n - 1)) * t.ppf(tail, n - 1))
    assert expanded_tail(tail, n) == pytest.approx(expected, rel=0.03)
    assert expanded_tail(tail, n) < tail


@pytest.mark.parametrize("n", [2, 3])
def test_too_few_samples_have_no_interval(n):
    score = Score.of(drawn(n))
    assert math.isnan(score.low)
    assert math.isnan(score.high)
    assert score.standard_error > 0
    assert Score.of(drawn(4)).low < Score.of(drawn(4)).high


@pytest.mark.parametrize("n", [6, 8, 16, 32])
def test_each_end_misses_as_often_as_it_says(n):
    values = torch.randn(1500, n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    missed = sum(bootstrap_interval(row, resamples=500)[0] > 0 for row in values) / len(values)
    assert 0.01 < missed < 0.045  # 0.025 give or take 0.004; plain percentiles miss in 0.096 of all for 4 samples


def test_less_confidence_is_narrower():
    values = drawn(20)
    (wide_low, wide_high), (low, high) = bootstrap_interval(values), bootstrap_interval(values, confidence=0.5)
    assert (RESAMPLES, CONFIDENCE) == (1000, 0.95)
    assert wide_low < low < high < wide_high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(drawn(30, seed=seed), resamples=300)
        covered += low <= 0 <= high
    assert 0.87 <= covered / 200 <= 0.98  # the percentile interval is somewhat short for 30 samples


def test_samples_that_are_undefined_do_not_widen_it():
    values = drawn(12)
    holes = torch.cat([values, torch.full((5,), torch.nan, dtype=torch.float64)])
    with_holes, without = Score.of(holes), Score.of(values)
    assert (with_holes.low, with_holes.high) == (without.low, without.high) == bootstrap_interval(values)
    assert with_holes.undefined == 5


def test_it_is_the_same_every_time_and_moves_no_random_state():
    values = drawn(10)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = bootstrap_interval(values)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert bootstrap_interval(values) == first


def test_the_order_of_equal_samples_does_not_matter():
    assert bootstrap_interval(torch.full((7,), 0.1, dtype=torch.float64)) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("mean", "random", "perfect", "skill"),
    [(0.1, 0.4, 0.0, 0.75), (0.4, 0.4, 0.0, 0.0), (0.8, 0.4, 0.0, -1.0), (1.0, 0.25, 1.0, 1.0), (0.5, 0.2, 1.0, 0.375)],
)
def test_skill_is_the_way_from_random_to_perfect(mean, random, perfect, skill):
    scores = (Score.of(torch.tensor([m - 0.05, m + 0.05], dtype=torch.float64), False) for m in (mean, random))
    score, yardstick = scores
    judged = score.against(yardstick, perfect)
    assert judged.skill == pytest.approx(skill)
    assert (judged.mean, judged.per_sample, judged.low) == (score.mean, score.per_sample, score.low)
    assert score.skill is None


def test_skill_where_there_is_none():
    score = Score.of(torch.tensor([0.5, 0.7]))
    assert score.against(Score.of(torch.tensor([0.1, 0.2])), None).skill is None
    assert math.isnan(score.against(Score.of(torch.tensor([1.0, 1.0])), 1.0).skill)
    assert math.isnan(score.against(Score.of(torch.full((2,), torch.nan)), 1.0).skill)


def test_the_advantage_is_that_of_each_sample():
    easy, luck = 5 * drawn(12, seed=3), 0.1 * drawn(12, seed=4)
    score, line = easy + 1 + luck, easy.clone()
    score[0] = line[3] = torch.nan
    judged = Score.of(score).against(Score.of(line), 9.0)
    both = [i for i in range(12) if i not in {0, 3}]
    assert judged.advantage == pytest.approx(float((1 + luck)[both].mean()))
    assert (judged.advantage_low, judged.advantage_high) == bootstrap_interval((score - line)[both])
    assert judged.advantage_high - judged.advantage_low < 0.1 * (judged.high - judged.low)
    assert judged.perfect == 9.0
    assert math.isnan(Score.of(score).advantage)
    few = Score.of(score[:4]).against(Score.of(line[:4]), None)
    assert few.advantage == pytest.approx(float((1 + luck)[1:3].mean()))
    assert math.isnan(few.advantage_low)


def test_random_attributions_are_of_the_same_samples():
    with pytest.raises(ValueError, match="random attributions of the same 3 samples, got 2"):
        Score.of(torch.ones(3)).against(Score.of(torch.ones(2)), None)


def test_every_class_has_a_score_of_its_own():
    values = torch.tensor([1.0, 2.0, torch.nan, 4.0, 6.0, 7.0])
    label = torch.tensor([3, 0, 0, 3, 3, 5])
    score = Score.of(values, higher_is_better=False)
    classes = score.by_class(label)
    assert list(classes) == [0, 3, 5]
    assert classes[3] == Score.of(values[[0, 3, 4]], higher_is_better=False)
    assert (classes[0].mean, classes[0].n, classes[0].undefined, classes[0].higher_is_better) == (2.0, 1, 1, False)
    assert (classes[5].mean, classes[5].n) == (7.0, 1)
    assert math.isnan(classes[5].low)
    total = sum(one.mean * one.n for one in classes.values()) / score.n
    assert total == pytest.approx(score.mean)


def test_every_sample_needs_a_label():
    with pytest.raises(ValueError, match="Expected a label for each of 3 samples, got 2"):
        Score.of(torch.ones(3)).by_class(torch.tensor([0, 1]))


def test_samples_are_not_printed():
    assert "per_sample" not in repr(Score.of(torch.ones(3)))
