import captum.attr
import numpy as np
import pytest
import torch

from lightning_explain.captum.attr._utils import stat
from lightning_explain.captum.attr._utils.summarizer import Summarizer

NAMES = ["Mean", "MSE", "Var", "StdDev", "Min", "Max", "Sum", "Count"]
REFERENCES = {
    "mean": lambda x: x.mean(0),
    "mse": lambda x: ((x - x.mean(0)) ** 2).sum(0),
    "variance": lambda x: x.var(0),
    "sample_variance": lambda x: x.var(0, ddof=1),
    "std_dev": lambda x: x.std(0),
    "sample_std_dev": lambda x: x.std(0, ddof=1),
    "min": lambda x: x.min(0),
    "max": lambda x: x.max(0),
    "sum": lambda x: x.sum(0),
    "count": len,
}


def every(module):
    return [
        *(getattr(module, name)() for name in NAMES),
        module.Var(order=1),
        module.StdDev(order=1),
        module.Var(order=2, name="other"),
    ]


def summaries(stats, tensors, summarizer=Summarizer):
    summed = summarizer(stats)
    for x in tensors:
        summed.update(x)
    return summed.summary


def test_statistics_are_those_of_numpy():
    tensors = [torch.randn(2, 3, dtype=torch.float64) * 10**6 + 10**8 for _ in range(7)]
    summary = summaries(every(stat), tensors)
    values = np.stack([x.numpy() for x in tensors])
    for name, reference in REFERENCES.items():
        np.testing.assert_allclose(summary[name], reference(values), rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_statistics_are_those_of_captum(n, dtype):
    tensors = [(torch.randn(2, 3) * 10).to(dtype) for _ in range(n)]
    ours, theirs = summaries(every(stat), tensors), summaries(every(captum.attr), tensors, captum.attr.Summarizer)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, msg=name)


def test_variance_does_not_lose_small_differences_of_large_numbers():
    tensors = [torch.tensor([1e9 + x], dtype=torch.float64) for x in (4, 7, 13, 16)]
    assert summaries([stat.Var(order=1)], tensors)["sample_variance"].item() == pytest.approx(30)


def test_half_precisions_are_averaged_in_float32():
    tensors = [torch.full((2,), 1.0, dtype=torch.bfloat16)] * 300 + [torch.zeros(2, dtype=torch.bfloat16)] * 100
    assert summaries([stat.Mean()], tensors)["mean"].tolist() == pytest.approx([0.75, 0.75])


def test_nan_goes_on_and_other_elements_do_not_notice():
    summary = summaries(every(stat), [torch.tensor([1.0, float("nan")]), torch.tensor([3.0, 2.0])])
    for name in ("mean", "variance", "min", "max", "sum"):
        assert summary[name].isnan().tolist() == [False, True]


def test_nothing_is_known_before_the_first():
    assert Summarizer([stat.Mean()]).summary is None
    assert stat.Count().get() is None
    assert stat.Min().get() is None


def test_results_hold_no_graph_and_no_reference_to_what_came():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    summary = Summarizer(every(stat))
    summary.update(x * 2)
    assert not any(value.requires_grad for value in summary.summary.values() if isinstance(value, torch.Tensor))
    written = torch.tensor([1.0, 2.0])
    summed = Summarizer([stat.Sum(), stat.Mean()])
    summed.update(written)
    written.zero_()
    assert summed.summary["sum"].tolist() == [1.0, 2.0]
    assert summed.summary["mean"].tolist() == [1.0, 2.0]


def test_a_statistic_alone_says_what_it_needs():
    with pytest.raises(RuntimeError, match=r"Mean is made of 'count', which a Summarizer brings along"):
        stat.Mean().update(torch.ones(2))


def test_statistics_of_the_same_class_and_parameters_are_the_same():
    assert stat.Var(order=1) == stat.Var(order=1, name="other")
    assert hash(stat.Var(order=1)) == hash(stat.Var(order=1))
    assert stat.Var(order=1) != stat.Var()
    assert stat.Mean() != stat.Count()
    assert stat.Mean() != "mean"


def test_names():
    assert [s.name for s in every(stat)] == [s.name for s in every(captum.attr)]
    assert stat.StdDev(order=2).name == "std_dev(2)"
    assert [s.name for s in stat.CommonStats()] == [s.name for s in captum.attr.CommonStats()]


def test_a_function_of_ones_own_combines():
    largest = stat.Max(max_fn=lambda a, b: torch.maximum(a.abs(), b.abs()))
    summary = summaries([largest], [torch.tensor([-3.0, 1.0])] * 2)
    assert summary["max"].tolist() == [3.0, 1.0]


def test_what_a_class_leaves_out_is_named():
    with pytest.raises(NotImplementedError, match=r"Stat must define update\(x\)"):
        stat.Stat().update(torch.ones(1))
    with pytest.raises(NotImplementedError, match=r"Stat must define get\(\)"):
        stat.Stat().get()
