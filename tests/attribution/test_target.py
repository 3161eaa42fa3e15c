import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lightning_explain.attribution.target import probability_readout, resolve_target, select, select_each

LOGITS = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0]])


@given(data=st.data(), dims=st.lists(st.integers(1, 4), min_size=1, max_size=3), rows=st.integers(1, 4))
def test_indices_choose_the_output(data: st.DataObject, dims: list[int], rows: int) -> None:
    outputs = torch.arange(float(rows * torch.Size(dims).numel())).view(rows, *dims)
    index = [[data.draw(st.integers(0, side - 1)) for side in dims] for _ in range(rows)]
    target = resolve_target(torch.tensor(index), outputs)
    expected = [outputs[(row, *place)].item() for row, place in enumerate(index)]
    assert select(outputs, target).tolist() == expected


@given(bad=st.integers(-3, 6), at=st.integers(0, 3))
def test_the_first_bad_sample_is_named(bad: int, at: int) -> None:
    index = [0, 1, 2, 0]
    index[at] = bad
    if 0 <= bad < 3:
        assert resolve_target(index, torch.zeros(4, 3)).flatten().tolist() == index
        return
    with pytest.raises(ValueError, match=rf"Target \[{bad}\] of sample {at} is out of range .*\(1 sample\(s\) are not"):
        resolve_target(index, torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("target", "outputs", "label", "expected"),
    [
        ("predicted", LOGITS, None, [[1], [0]]),
        ("label", LOGITS, torch.tensor([2, 1]), [[2], [1]]),
        ("label", LOGITS, torch.tensor([[2], [1]]), [[2], [1]]),
        ("output", LOGITS[:, :1], None, None),
        ("output", LOGITS[:, 0], None, None),
        ("output", LOGITS[:, :1, None], None, None),
        (0, LOGITS, None, [[0], [0]]),
        (torch.tensor([1, 2], dtype=torch.uint8), LOGITS, None, [[1], [2]]),
    ],
)
def test_names_become_indices(target: object, outputs: Tensor, label: Tensor, expected: object) -> None:
    found = resolve_target(target, outputs, label)
    assert (found if found is None else found.tolist()) == expected
    assert select(outputs, found).shape == (2,)


@pytest.mark.parametrize(
    ("target", "outputs", "label", "message"),
    [
        ("labels", LOGITS, None, "No target 'labels'. Did you mean 'label'. Known: .* Or give output indices"),
        ("predicted", LOGITS[:, 0], None, r"needs outputs of shape \(samples, classes\), got \(2,\);.* or 'output'"),
        ("predicted", torch.zeros(2, 3, 4), None, r"got \(2, 3, 4\); give explicit indices\."),
        ("label", LOGITS, None, "The target 'label' needs labels"),
        ("label", LOGITS, torch.tensor([0.0, 1.0]), "A target is an integer output index, got torch.float32"),
        ("output", LOGITS, None, r"needs one number per sample, the model gives shape \(2, 3\)"),
        (0, LOGITS[:, 0], None, r"needs 0 index\(es\) for each of 2 samples, got shape \(\)\. Use target='output'"),
        ([0, 1], torch.zeros(2, 3, 4), None, r"needs 2 index\(es\) for each of 2 samples, got shape \(2,\)"),
        (1.5, LOGITS, None, "A target is an integer output index, got torch.float32"),
        ([True, False], LOGITS, None, "A target is an integer output index, got torch.bool"),
        ([[0, 1]], torch.zeros(2, 3, 4), None, r"got shape \(1, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(target: object, outputs: Tensor, label: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_target(target, outputs, label)


@pytest.mark.parametrize("readout", ["raw", "probability", "top"])
def test_several_numbers_of_every_row(readout: str) -> None:
    outputs = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[[0, 1]] * 4, [[2, 0], [1, 1], [0, 0], [2, 1]]])
    found = select_each(outputs, targets, readout)
    assert found.shape == (2, 4)
    for target, row in zip(targets, found, strict=True):
        assert torch.equal(row, select(outputs, target, readout))
    assert torch.equal(
        select_each(outputs[:, 0, 0], torch.zeros(2, 4, 0, dtype=torch.long)), outputs[:, 0, 0].expand(2, 4)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_scores_are_read_with_precision(dtype: torch.dtype) -> None:
    target = torch.tensor([[1], [0]])
    raw, probability = (select(LOGITS.to(dtype), target, readout) for readout in ("raw", "probability"))
    assert raw.tolist() == [3, 5]
    assert raw.dtype == probability.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(probability.double(), LOGITS.double().softmax(dim=1)[[0, 1], [1, 0]], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "target", "readout"),
    [
        (LOGITS, torch.tensor([[0], [0]]), "probability"),
        (LOGITS.softmax(dim=1), torch.tensor([[0], [0]]), "raw"),
        (LOGITS.softmax(dim=1).bfloat16(), torch.tensor([[0], [0]]), "raw"),
        (torch.tensor([[2.0, -1.0], [0.5, 0.5]]), torch.tensor([[0], [0]]), "probability"),
        (LOGITS[:, :1], torch.tensor([[0], [0]]), "raw"),
        (LOGITS[:, 0], None, "raw"),
        (torch.zeros(2, 3, 4), torch.tensor([[0, 1], [0, 1]]), "probability"),
    ],
)
def test_probabilities_are_recognized(outputs: Tensor, target: Tensor, readout: str) -> None:
    assert probability_readout(outputs, target) == readout
