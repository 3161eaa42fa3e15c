import pytest
import torch
from torch import nn

from lightning_explain.attribution.values import POOLED, Values


def small():
    return [torch.arange(3.0), torch.tensor(5), torch.ones(2, 2), torch.tensor([True, False]), torch.arange(4)]


def test_small_tensors_of_a_type_are_taken_down_as_one():
    tensors = [*small(), torch.zeros(POOLED + 1), torch.zeros(0), nn.Parameter(torch.ones(1))]
    values = Values.of([*tensors, tensors[0]])
    assert [len(pool.tensors) for pool in values.pools] == [2, 2, 1]
    assert [tensor.numel() for tensor, _ in values.single] == [POOLED + 1, 0, 1]


@pytest.mark.parametrize("written", range(5))
def test_only_what_was_written_to_is_written_back(written):
    tensors = [*small(), torch.zeros(POOLED + 1)]
    values, versions = Values.of(tensors), [tensor._version for tensor in tensors]
    before = [tensor.clone() for tensor in tensors]
    tensors[written].zero_().logical_not_()
    values.restore()
    assert all(map(torch.equal, tensors, before))
    changed = [tensor._version != version for tensor, version in zip(tensors, versions, strict=True)]
    assert [number for number, differs in enumerate(changed) if differs] == [written]


def test_what_is_written_past_the_version_counter_is_found():
    tensor, other = torch.ones(3), torch.ones(2)
    values = Values.of([tensor, other])
    other.data.zero_()
    values.restore()
    assert other.tolist() == [1, 1]


def test_a_tensor_that_grew_is_cut_back_and_its_neighbours_are_kept():
    tensors = [torch.ones(2), torch.zeros(3)]
    values = Values.of(tensors)
    tensors[0].resize_(5).fill_(7)
    tensors[1].add_(1)
    values.restore()
    assert tensors[0].tolist() == [1, 1]
    assert tensors[1].tolist() == [0, 0, 0]


def test_values_that_are_no_numbers_are_not_written_again():
    tensor = torch.tensor([float("nan"), 1.0])
    values, version = Values.of([tensor, torch.ones(2)]), tensor._version
    values.restore()
    assert tensor._version == version


def test_tensors_whose_elements_share_memory_are_left_alone():
    tensor = torch.ones(1).expand(3)
    values = Values.of([tensor, torch.ones(2)])
    values.restore()
    assert tensor.tolist() == [1, 1, 1]


def test_tensors_that_require_gradients_and_those_made_in_inference_mode_are_put_back():
    with torch.inference_mode():
        born = torch.ones(2)
    trained = torch.ones(2, requires_grad=True)
    values = Values.of([born, trained])
    with torch.no_grad():
        trained.mul_(2)
        values.restore()
    assert trained.tolist() == [1, 1]
    assert trained.requires_grad
