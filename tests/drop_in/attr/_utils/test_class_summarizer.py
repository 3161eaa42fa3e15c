import captum.attr
import pytest
import torch

from lightning_explain.captum.attr._utils import stat
from lightning_explain.captum.attr._utils.class_summarizer import ClassSummarizer


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in other.items():
        torch.testing.assert_close(one[name], value)


@pytest.mark.parametrize("labels", [[0, 1, 0], "all", ["a", "b", "a"], [7]])
def test_summaries_of_classes_and_of_all_are_those_of_captum(labels):
    ours, theirs = ClassSummarizer(stat.CommonStats()), captum.attr.ClassSummarizer(captum.attr.CommonStats())
    for _ in range(2):
        x = (torch.randn(3, 2), torch.randn(3, 4))
        ours.update(x, labels)
        theirs.update(x, labels)
    assert ours.class_summaries.keys() == theirs.class_summaries.keys()
    for label, summary in theirs.class_summaries.items():
        for one, other in zip(ours.class_summaries[label], summary, strict=True):
            same(one, other)
    for one, other in zip(ours.summary, theirs.summary, strict=True):
        same(one, other)


def test_without_labels_the_tensor_is_taken_as_a_whole():
    summed = ClassSummarizer([stat.Mean()])
    summed.update(torch.ones(3, 2))
    assert summed.summary["mean"].shape == (3, 2)
    assert summed.class_summaries == {}


def test_labels_of_a_tensor_count_by_their_values():
    summed = ClassSummarizer([stat.Count()])
    summed.update(torch.randn(4, 2), torch.tensor([1, 0, 1, 1]))
    assert {label: found[0]["count"] for label, found in summed.class_summaries.items()} == {1: 3, 0: 1}


def test_one_label_for_each_sample():
    with pytest.raises(AssertionError, match=r"2 labels, and inputs of 3 samples"):
        ClassSummarizer([stat.Mean()]).update(torch.ones(3, 2), [0, 1])


def test_inputs_are_tensors():
    with pytest.raises(TypeError, match=r"Expected a tensor or a tuple of tensors, got list"):
        ClassSummarizer([stat.Mean()]).update([1.0], 0)
