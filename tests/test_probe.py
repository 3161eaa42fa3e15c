import dataclasses
import pickle
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain import ProbeSet

X = torch.arange(4 * 2 * 3 * 5, dtype=torch.float32).view(4, 2, 3, 5)
LABEL = torch.tensor([0, 2, 1, 2])


def test_the_target_follows_from_the_labels() -> None:
    assert ProbeSet.from_tensors(X, label=LABEL).target == "label"
    assert ProbeSet.from_tensors(X, label=LABEL.float()).target == "output"
    assert ProbeSet.from_tensors(X).target == "predicted"
    assert ProbeSet(X, label=[0, 1, 2, 0], target=[3, 2, 1, 0]).target.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": X[:0]}, "The probe set is empty: it needs at least one sample"),
        (
            {"inputs": X.where(X != 100, torch.nan)},
            r"input holds NaN or infinity in 1 sample\(s\), the first is sample 3",
        ),
        (
            {"inputs": {"a": torch.zeros(4), "b": torch.tensor([0, 1, torch.inf, torch.nan])}},
            r"b holds NaN or infinity in 2 sample\(s\), the first is sample 2",
        ),
        ({"inputs": (X, X[:3])}, r"same number of samples; got input\[0\] \(4, 2, 3, 5\), input\[1\] \(3, 2, 3, 5\)"),
        ({"inputs": torch.tensor(1.0)}, r"Every input needs a batch dimension; got shapes \[\(\)\]"),
        ({"inputs": ()}, r"Every input needs a batch dimension; got shapes \[\]"),
        ({"label": LABEL[:3]}, r"Expected a label for each of 4 samples, got shape \(3,\)"),
        ({"target": "label"}, "The target 'label' needs integer class labels; pass label="),
        ({"target": [0, 1]}, r"Expected a target for each of 4 samples, got shape \(2,\)"),
        ({"baseline": "zero"}, "No baseline 'zero'. Did you mean 'zeros'"),
        (
            {"baseline": X[:2]},
            r"The baseline of input has shape \(2, 2, 3, 5\); expected \(4, 2, 3, 5\), or \(1, 2, 3, 5\)",
        ),
        ({"mask": torch.ones(4, 3, 4)}, r"The mask has shape \(4, 3, 4\); expected \(4, 3, 5\).* or \(3, 5\)"),
        ({"mask": torch.zeros(4, 3, 5)}, "The mask is empty in all samples"),
        ({"mask": torch.ones(3, 5), "region": "objekt"}, "No region 'objekt'. Did you mean 'object'"),
        ({"names": ["a", "b"]}, "Expected 4 different names, one for each sample, got 2"),
        ({"names": ["a", "b", "a", "c"]}, "Expected 4 different names, one for each sample, got 3"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProbeSet(**{"inputs": X} | fields)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([X], "Inputs must be a tensor, a tuple of tensors or a dict of tensors, got list"),
        (X.numpy(), "got ndarray"),
        ({"x": X, "path": ["a"] * 4}, r"got dict with list for path"),
        ((X, None), r"got tuple with NoneType for input\[1\]"),
    ],
)
def test_inputs_are_tensors(inputs: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ProbeSet(inputs)


def test_a_mask_has_a_row_for_each_sample() -> None:
    mask = torch.eye(3, 5) > 0
    assert torch.equal(ProbeSet(X, mask=mask, region="artefact").mask, mask.expand(4, 3, 5))


def test_later_changes_to_the_users_tensors_do_not_reach_the_probe_set() -> None:
    fields = {
        "label": LABEL.clone(),
        "target": torch.tensor([0, 1, 0, 1]),
        "baseline": torch.ones_like(X),
        "mask": torch.ones(4, 3, 5, dtype=torch.bool),
    }
    inputs = {"x": X.clone()}
    probe = ProbeSet(inputs, **fields)
    identity = ProbeSet({"x": X.clone()}, **{key: value.clone() for key, value in fields.items()}).identity
    for tensor in (*inputs.values(), *fields.values()):
        tensor.zero_()
    inputs["y"] = X
    assert probe.identity == identity
    assert torch.equal(probe.inputs["x"], X)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        probe.label = None


def test_tensors_with_a_graph_are_cut_off() -> None:
    weight = torch.ones(5, requires_grad=True)
    probe = ProbeSet(X * weight, label=LABEL)
    assert not probe.inputs.requires_grad


BASE = {
    "inputs": {"x": X, "ids": torch.ones(4, 2, dtype=torch.long)},
    "label": LABEL,
    "target": torch.tensor(1),
    "mask": torch.ones(3, 5),
}


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"x": X + 1e-3, "ids": BASE["inputs"]["ids"]}},
        {"inputs": {"x": X.double(), "ids": BASE["inputs"]["ids"]}},
        {"inputs": {"x": X.bfloat16(), "ids": BASE["inputs"]["ids"]}},
        {"inputs": {"x": X, "ids": BASE["inputs"]["ids"].int()}},
        {"inputs": {"x": X, "ids": BASE["inputs"]["ids"] > 0}},
        {"inputs": {"x": X, "tokens": BASE["inputs"]["ids"]}},
        {"inputs": (X, BASE["inputs"]["ids"])},
        {"inputs": {"x": X.reshape(4, 2, 5, 3), "ids": BASE["inputs"]["ids"]}, "mask": torch.ones(5, 3)},
        {"label": torch.tensor([0, 2, 1, 1])},
        {"label": None},
        {"target": torch.tensor(2)},
        {"target": torch.tensor([1, 1, 1, 1])},
        {"target": "predicted"},
        {"baseline": "mean"},
        {"baseline": 0.5},
        {"mask": torch.eye(3, 5)},
        {"mask": None},
        {"region": "artefact"},
        {"feature_mask": torch.zeros(1, 1, 3, 5).long()},
    ],
    ids=str,
)
def test_the_identity_tells_all_that_matters(change: dict[str, object]) -> None:
    assert ProbeSet(**BASE).identity == ProbeSet(**BASE).identity
    assert ProbeSet(**BASE | change).identity != ProbeSet(**BASE).identity


@pytest.mark.parametrize("change", [{"names": list("abcd")}, {"class_names": list("abc")}])
def test_the_identity_leaves_out_how_things_are_called(change: dict[str, object]) -> None:
    assert ProbeSet(**BASE | change).identity == ProbeSet(**BASE).identity


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.bool, torch.uint8, torch.complex64]
)
def test_every_type_has_an_identity(dtype: torch.dtype) -> None:
    identities = {ProbeSet(X[..., :n].to(dtype)).identity for n in (1, 2, 5)}
    assert len(identities) == 3
    assert all(len(identity) == 16 for identity in identities)


def test_pickled_and_copied_it_is_the_same() -> None:
    probe = ProbeSet(**BASE, names=list("abcd"), class_names=list("xyz"))
    identity = probe.identity
    again = pickle.loads(pickle.dumps(probe))
    assert again.identity == identity
    assert again.names == ("a", "b", "c", "d")
    assert again.class_names == ("x", "y", "z")
    assert torch.equal(again.mask, probe.mask)
    assert dataclasses.replace(probe, region="artefact").identity != identity
    assert dataclasses.replace(probe).identity == identity


@pytest.mark.parametrize(
    ("inputs", "modality"),
    [
        (torch.zeros(2), "tabular"),
        (torch.zeros(2, 3), "tabular"),
        (torch.zeros(2, 3, 4), "time_series"),
        (torch.zeros(2, 3, 4, 4), "image"),
        (torch.zeros(2, 3, 4, 4, 4), "video"),
        (torch.zeros(2, 3, 4, 4, 4, 4), "tensor"),
        (torch.zeros(2, 3, dtype=torch.long), "text"),
        ({"ids": torch.zeros(2, 3, dtype=torch.long), "x": torch.zeros(2, 3, 4, 4)}, "image"),
    ],
)
def test_the_modality_is_seen_from_the_shape(inputs: object, modality: str) -> None:
    assert ProbeSet(inputs).modality == modality


def test_a_sample_of_it() -> None:
    probe = ProbeSet(
        **BASE | {"target": [0, 1, 2, 3], "baseline": X_BASELINE}, names=list("abcd"), class_names=list("xyz")
    )
    one = probe.sample(2)
    assert len(one) == 1
    assert torch.equal(one.inputs["x"], X[2:3])
    assert torch.equal(one.baseline["x"], X[2:3] + 1)
    assert one.label.tolist() == [1]
    assert one.target.tolist() == [2]
    assert one.names == ("c",)
    assert one.mask is None
    assert ProbeSet(X, label=LABEL).sample(1).target == "label"
    assert ProbeSet(X, target=3).sample(1).target.item() == 3


X_BASELINE = {"x": X + 1, "ids": torch.zeros(1, 2, dtype=torch.long)}


def test_samples_are_numbered() -> None:
    assert ProbeSet(X).names == ("sample_0", "sample_1", "sample_2", "sample_3")
    assert ProbeSet(torch.zeros(11, 2)).names[:2] == ("sample_00", "sample_01")


def rng() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def dataset(count: int = 20) -> TensorDataset:
    return TensorDataset(torch.arange(count * 6.0).view(count, 1, 2, 3), torch.arange(count) % 3)


def test_from_a_data_set() -> None:
    before = rng()
    probe = ProbeSet.from_dataset(dataset(), 6, names=[f"n{i}" for i in range(6)], class_names=["a", "b", "c"])
    assert rng() == before
    assert sorted(probe.label.tolist()) == [0, 0, 1, 1, 2, 2]
    numbers = (probe.inputs[:, 0, 0, 0] / 6).long()
    assert torch.equal(numbers % 3, probe.label)
    assert (numbers.diff() > 0).all()  # in the order of the data set
    assert probe.names[0] == "n0"
    assert ProbeSet.from_dataset(dataset(), 6, seed=1).identity != probe.identity
    assert ProbeSet.from_dataset(dataset(), 6).identity == probe.identity


@pytest.mark.parametrize(
    "make",
    [
        lambda masks: masks,
        lambda masks: lambda index: masks[index],
        lambda masks: lambda index: masks[index : index + 1],
    ],
    ids=["tensor", "function", "with_channel"],
)
def test_masks_of_a_data_set_follow_the_items(make: object) -> None:
    masks = torch.zeros(20, 2, 3, dtype=torch.bool)
    for index in range(20):
        masks[index].view(-1)[index % 6] = True
    probe = ProbeSet.from_dataset(dataset(), 6, mask=make(masks))
    numbers = (probe.inputs[:, 0, 0, 0] / 6).long()
    assert torch.equal(probe.mask, masks[numbers])


def test_one_mask_for_all_items_also_where_its_height_is_their_number() -> None:
    mask = torch.tensor([[True, False, False], [False, False, True]])
    for count in (20, 2):
        probe = ProbeSet.from_dataset(dataset(count), 1, mask=mask)
        assert torch.equal(probe.mask, mask[None])


def test_fields_of_the_users_come_first() -> None:
    probe = ProbeSet.from_dataset(dataset(), 4, label=torch.tensor([5, 6, 7, 8]), target="predicted", baseline="mean")
    assert probe.label.tolist() == [5, 6, 7, 8]
    assert probe.target == "predicted"
    assert torch.equal(probe.baseline, probe.inputs.mean(dim=0, keepdim=True).expand_as(probe.inputs))


def test_from_a_data_loader() -> None:
    before = rng()
    probe = ProbeSet.from_dataloader(DataLoader(dataset(), batch_size=4), 6, target=1)
    assert rng() == before
    assert torch.equal(probe.inputs, dataset().tensors[0][:6])
    assert probe.label.tolist() == [0, 1, 2, 0, 1, 2]
    assert probe.target.item() == 1


@given(size=st.integers(1, 12), classes=st.integers(1, 5), seed=st.integers(0, 3))
def test_every_class_is_there_as_often_as_it_can_be(size: int, classes: int, seed: int) -> None:
    label = torch.arange(12) % classes
    probe = ProbeSet.from_dataset(TensorDataset(torch.randn(12, 2), label), size, seed=seed)
    counts = torch.bincount(probe.label, minlength=classes)
    there = torch.bincount(label)
    assert len(probe) == size
    fewest = counts[counts < there]  # of classes that have more to give
    assert fewest.numel() == 0 or counts.max() <= fewest.min() + 1


def test_a_baseline_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="baseline of input holds NaN or infinity in 2 sample"):
        ProbeSet.from_tensors(torch.rand(2, 3), baseline=float("nan"))


@pytest.mark.parametrize("kind", ["tensor", "tuple", "dict"])
def test_what_is_saved_is_read_again(tmp_path, kind):
    x, y = torch.randn(4, 2, 6, 6), torch.arange(4)
    inputs = {"tensor": x, "tuple": (x, torch.randn(4, 3)), "dict": {"image": x, "ids": torch.arange(8).view(4, 2)}}[
        kind
    ]
    mask = torch.rand(4, 6, 6) < 0.5
    probe = ProbeSet.from_tensors(
        inputs, label=y, mask=mask, region="artefact", baseline="mean", names=list("abcd"), class_names=list("wxyz")
    )
    probe.save(tmp_path / "probe.pt")
    read = ProbeSet.load(tmp_path / "probe.pt")
    assert read.identity == probe.identity
    assert (read.names, read.class_names, read.region, read.target) == (
        probe.names,
        probe.class_names,
        probe.region,
        probe.target,
    )
    assert torch.equal(read.mask, probe.mask)


def test_what_is_no_probe_set_is_not_read(tmp_path):
    with pytest.raises(ValueError, match=r"There is no file .*nothing\.pt to read a probe set from; ProbeSet\.save"):
        ProbeSet.load(tmp_path / "nothing.pt")
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("other.pt", "text.pt"):
        with pytest.raises(ValueError, match="holds no probe set that ProbeSet"):
            ProbeSet.load(tmp_path / name)


def test_feature_masks_belong_to_the_inputs_that_can_be_explained() -> None:
    inputs = {"x": X, "ids": torch.ones(4, 2, dtype=torch.long)}
    mask = torch.arange(15).view(1, 1, 3, 5) // 4
    probe = ProbeSet(inputs, feature_mask={"x": mask.int()})
    (held,) = probe.feature_mask
    assert held.dtype == torch.long
    assert torch.equal(held, mask)
    assert probe.identity == ProbeSet(inputs, feature_mask=mask).identity == dataclasses.replace(probe).identity
    assert probe.identity != ProbeSet(inputs, feature_mask=mask // 2).identity
    mask.zero_()
    assert held.max() == 3
    assert torch.equal(probe.sample(2).feature_mask[0], held)
    own = torch.arange(4).view(4, 1, 1, 1)
    assert ProbeSet(inputs, feature_mask=own).sample(2).feature_mask[0].flatten().tolist() == [2]
    with pytest.raises(
        ValueError, match=r"The feature mask of x has shape \(3, 5\); expected \(4 or 1, 2 or 1, 3 or 1"
    ):
        ProbeSet(inputs, feature_mask=torch.zeros(3, 5).long())
    with pytest.raises(TypeError, match=r"The feature mask of x must hold integers.*got torch.float32"):
        ProbeSet(inputs, feature_mask=torch.zeros(1, 1, 3, 5))


@pytest.mark.parametrize(
    "make",
    [
        lambda mask: mask,
        lambda mask: lambda index: mask[index],
        lambda mask: lambda index: (mask[index],),
    ],
)
def test_feature_masks_of_a_data_set(make: object) -> None:
    data = TensorDataset(torch.randn(20, 1, 2, 3), torch.arange(20) % 3)
    mask = torch.arange(20).view(20, 1, 1, 1).expand(20, 1, 2, 3)
    probe = ProbeSet.from_dataset(data, 6, feature_mask=make(mask))
    for held, picture in zip(probe.feature_mask[0], probe.inputs, strict=True):
        (index,) = (i for i, (x, _) in enumerate(data) if torch.equal(x, picture))
        assert (held == index).all()
    shared = ProbeSet.from_dataset(data, 6, feature_mask=mask[:1]).feature_mask[0]
    assert shared.shape == (1, 1, 2, 3)
    loaded = ProbeSet.from_dataloader(DataLoader(data, batch_size=4), 6, feature_mask=mask[:6])
    assert loaded.feature_mask[0][:, 0, 0, 0].tolist() == list(range(6))
