from collections.abc import Callable

import pytest
import torch
from captum import attr as captum
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.futures import Future

from lightning_explain.captum import attr as ours
from lightning_explain.captum.errors import ArgumentError, ArgumentTypeError

X = torch.tensor([[1.0, -2.0, 3.0, 0.5], [2.0, 1.0, -1.0, 4.0], [0.3, 0.2, -2.0, 1.0]])
B = torch.tensor([[0.5, 0.0, -1.0, 1.0]])


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).eval()


def pictures() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 3 * 4, 2)).eval()


def joined(x: Tensor, y: Tensor, factor: int = 1) -> Tensor:
    return torch.stack([(x**2).sum(dim=1) * factor - y.sum(dim=1), (x[:, :2] * y).sum(dim=1).float()], dim=1)


def total(x: Tensor) -> Tensor:
    return torch.stack([x.prod(dim=1).sum(), (x**2).sum()])


def assert_alike(found: object, expected: object) -> None:
    assert isinstance(found, tuple) == isinstance(expected, tuple)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for left, right in pairs:
        torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-5)
        assert not left.requires_grad


def both(name: str, forward: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Ours and Captum's give the same, whatever goes through the model at once."""
    expected = getattr(captum, name)(forward).attribute(*args, **kwargs)
    for per_eval in (1, 2, 50):
        found = getattr(ours, name)(forward).attribute(*args, **kwargs, perturbations_per_eval=per_eval)
        assert_alike(found, expected)


@pytest.mark.parametrize("target", [None, 2, (1,), [0, 1, 2], torch.tensor([2, 2, 0]), [(0,), (1,), (2,)]], ids=str)
def test_targets(target: object) -> None:
    both("FeatureAblation", small(), X, B, target)
    both("Occlusion", small(), X, (2,), baselines=B, target=target)


@pytest.mark.parametrize(
    "mask",
    [
        None,
        torch.tensor([[0, 0, 1, 1]]),
        torch.tensor([[7, -3, 7, 100]]),
        torch.tensor([0, 1, 0, 1]),
        torch.tensor(5),
        torch.tensor([[0], [1], [2]]),
        torch.tensor([[0, 0, 1, 2], [1, 1, 1, 1], [3, 2, 1, 0]]),
    ],
    ids=["each", "pairs", "odd ids", "no batch", "no dimension", "by sample", "own"],
)
def test_masks(mask: Tensor | None) -> None:
    both("FeatureAblation", small(), X, B, 1, feature_mask=mask)
    if mask is None or mask.ndim < 2 or len(mask) == 1:  # Captum cannot do both
        both("FeatureAblation", small(), X, B, feature_mask=mask)


def test_every_output_with_features_of_each_sample() -> None:
    mask = torch.tensor([[0, 0, 1, 2], [1, 1, 1, 1], [3, 2, 1, 0]])
    found = ours.FeatureAblation(small()).attribute(X, B, feature_mask=mask)
    single = [ours.FeatureAblation(small()).attribute(X, B, target, feature_mask=mask) for target in range(3)]
    torch.testing.assert_close(found, torch.stack(single, dim=1).flatten(0, 1))


@pytest.mark.parametrize("baselines", [None, 2, 0.5, B, B.expand(3, -1), B[0], torch.tensor(0.25)], ids=str)
def test_baselines(baselines: object) -> None:
    both("FeatureAblation", small(), (X,), (baselines,) if baselines is not None else None, 1)
    both("Occlusion", small(), X, (3,), 2, baselines, 1)


def test_several_inputs_and_arguments() -> None:
    y = torch.tensor([[1, 2], [3, -1], [0, 5]])
    for baselines in (None, (0.5, 1), (B, torch.tensor([[1, 2]]))):
        both("FeatureAblation", joined, (X, y), baselines, 0, additional_forward_args=(3,))
    both("FeatureAblation", joined, (X,), None, 1, additional_forward_args=(y, 3))
    masks = (torch.tensor([[0, 1, 4, 4]]), torch.tensor([[1, 6]]))  # 1 is in both inputs
    both("FeatureAblation", joined, (X, y), (0.5, 1), None, feature_mask=masks)
    both("Occlusion", joined, (X, y), ((3,), (1,)), (2, (1,)), (0.5, 1), 0)


@pytest.mark.parametrize(
    ("dtype", "baselines"),
    [
        (dtype, baselines)
        for dtype in (torch.int64, torch.bool, torch.float64)
        for baselines in (None, 0, 1, True, 0.5)
        if dtype != torch.bool or baselines != 0.5  # Captum multiplies with booleans
    ],
)
def test_other_dtypes(dtype: torch.dtype, baselines: object) -> None:
    x = torch.tensor([[3, 0, 1], [0, 2, 5]]).to(dtype)
    forward = lambda x: (x * torch.tensor([1.0, 2.0, 3.0])).sum(dim=1)  # noqa: E731
    both("FeatureAblation", forward, x, baselines)


def test_integers_come_out_as_integers() -> None:
    found = ours.FeatureAblation(lambda x: x * 2**40).attribute(torch.tensor([[1], [3]]))
    assert found.tolist() == [[2**40], [3 * 2**40]]
    assert found.dtype == torch.int64
    count = ours.FeatureAblation(lambda x: int(x.sum())).attribute(torch.tensor([[1, 2], [3, 4]]))
    assert count.tolist() == [[4, 6]]
    assert count.dtype == torch.int64


@pytest.mark.parametrize(
    "forward",
    [total, lambda x: total(x)[:1], lambda x: total(x)[0], lambda x: float(total(x)[0]), lambda x: torch.ones(1, 5, 2)],
    ids=["two", "one", "no dimension", "float", "constant"],
)
def test_numbers_for_the_batch_as_a_whole(forward: Callable[..., object]) -> None:
    mask = torch.tensor([[0, 1, 1, 2]])
    for feature_mask in (None, mask):
        expected = captum.FeatureAblation(forward).attribute(X, B, feature_mask=feature_mask)
        found = ours.FeatureAblation(forward).attribute(X, B, feature_mask=feature_mask)
        assert_alike(found, expected)
        assert_alike(
            ours.Occlusion(forward).attribute((X,), (2,), 1, B),
            tuple(part.to(found.dtype) for part in captum.Occlusion(forward).attribute((X,), (2,), 1, B)),
        )
    with pytest.raises(ArgumentError, match="leave perturbations_per_eval at 1"):
        ours.FeatureAblation(forward).attribute(X, perturbations_per_eval=2)
    with pytest.raises(AssertionError, match="a feature mask then has one row"):
        ours.FeatureAblation(forward).attribute(
            X, feature_mask=torch.tensor([[0, 1, 1, 2], [0] * 4, [1] * 4, [2] * 4])[:3]
        )


def test_as_many_numbers_as_samples_by_accident() -> None:
    forward = lambda x: torch.stack([x.sum(), x.prod(dim=1).max(), x[0, 0]])  # noqa: E731
    assert_alike(ours.FeatureAblation(forward).attribute(X, B), captum.FeatureAblation(forward).attribute(X, B))


def test_inputs_of_different_lengths() -> None:
    def forward(x: Tensor, ids: Tensor) -> Tensor:
        return (x * 2).sum() + (ids[0] * ids[3] if len(ids) else 0.0)

    for ids in (torch.tensor([1, 7, 2, 4, 5]), torch.tensor([])):
        assert_alike(
            ours.FeatureAblation(forward).attribute((X, ids)), captum.FeatureAblation(forward).attribute((X, ids))
        )


def test_each_sample_against_its_own_rows_of_a_longer_input() -> None:
    forward = lambda x, y: x.sum(dim=1) + y.sum()  # noqa: E731
    y = torch.arange(5.0)
    mask = (torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [2, 2, 2, 0]]), torch.tensor([0]))
    assert_alike(
        ours.FeatureAblation(forward).attribute((X, y), feature_mask=mask),
        captum.FeatureAblation(forward).attribute((X, y), feature_mask=mask),
    )


@pytest.mark.parametrize(
    ("window", "strides"),
    [((2, 2, 2), None), ((1, 3, 3), (1, 2, 2)), ((2, 3, 4), 3), ((1, 2, 5), (1, 2, 3)), ((2, 5, 6), 9)],
)
def test_windows_hang_over_the_border(window: tuple[int, ...], strides: object) -> None:
    x = torch.randn(2, 2, 5, 6, generator=torch.Generator().manual_seed(2))
    both("Occlusion", pictures(), x, window, strides, 0.1, 1)


def test_windows_of_numbers_without_dimensions() -> None:
    forward = lambda x, y: x * y.sum(dim=1)  # noqa: E731
    both("Occlusion", forward, (X[:, 0], X), ((), (2,)))


@pytest.mark.parametrize(
    ("window", "strides", "message"),
    [
        ((5,), None, r"window \(5,\) of input 0 does not fit samples of shape \(4,\)"),
        (2, None, r"window 2 of input 0 does not fit samples of shape \(4,\)"),
        ((2, 2), None, "needs a size for each"),
        (((2,), (2,)), None, r"a window for each of 1 input\(s\), got 2"),
        ((2,), 3, "stride 3 of input 0 does not fit the window"),
        ((2,), (1, 1), "a step for each"),
        ((2,), 0, "at least 1"),
    ],
)
def test_windows_that_do_not_fit(window: object, strides: object, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ours.Occlusion(small()).attribute(X, window, strides)


def turned(x: Tensor, feature_mask: Tensor) -> Tensor:
    return torch.where(feature_mask, x.flip(0), x)


@pytest.mark.parametrize(
    "mask", [None, torch.tensor([[0, 4, 4, 1]]), torch.tensor([[0] * 4, [1] * 4, [1, 0, 0, 0]])], ids=str
)
def test_features_are_exchanged_as_asked(mask: Tensor | None) -> None:
    for target in (1, None) if mask is None or len(mask) == 1 else (1,):
        expected = captum.FeaturePermutation(small(), turned).attribute(X, target, feature_mask=mask)
        for per_eval in (1, 3):
            found = ours.FeaturePermutation(small(), turned).attribute(
                X, target, feature_mask=mask, perturbations_per_eval=per_eval
            )
            assert_alike(found, expected)


def test_features_are_exchanged_in_a_batch() -> None:
    for mask in (None, torch.tensor([[0, 4, 4, 1]])):
        expected = captum.FeaturePermutation(total, turned).attribute(X, feature_mask=mask)
        assert_alike(ours.FeaturePermutation(total, turned).attribute(X, feature_mask=mask), expected)


def test_every_sample_gets_another_ones_features() -> None:
    # Where a sample's neighbor is known, so is its attribution.
    x = torch.tensor([[1.0, 10.0], [3.0, 50.0]])
    for forward in (lambda x: x @ torch.tensor([1.0, 2.0]), lambda x: (x[0] - 2 * x[1]) @ torch.tensor([1.0, 2.0])):
        found = ours.FeaturePermutation(forward).attribute(x)
        expected = captum.FeaturePermutation(forward).attribute(x)
        assert_alike(found, expected)
    one = ours.FeaturePermutation(lambda x: x.sum(dim=1)).attribute(x[:1])
    assert one.tolist() == [[0, 0]]


def test_a_feature_in_several_inputs_is_exchanged_in_all_of_them_or_in_none() -> None:
    y = torch.tensor([[1, 2], [3, -1], [0, 5]])
    masks = (torch.tensor([[0, 1, 4, 4]]), torch.tensor([[1, 6]]))
    known = lambda x, y: ((x[:, 1:2] == X[:, 1]) & (y[:, :1] == y0)).any(dim=1).float()  # noqa: E731
    y0 = y[:, 0].clone()
    together = ours.FeaturePermutation(known).attribute((X, y), feature_mask=masks)
    assert together[0][:, 1].abs().max() == together[1][:, 0].abs().max() == 0
    assert ours.FeaturePermutation(known).attribute((X, y))[1][:, 0].tolist() == [1, 1, 1]
    alone = ours.FeaturePermutation(lambda x, y: x.prod() + y.sum()).attribute(
        (X, torch.tensor([[1.0, 2.0]])), feature_mask=masks
    )
    assert alone[0][:, 1].abs().max() == alone[1].abs().max() == 0
    assert alone[0].shape == (1, 4)


def promised(forward: Callable[..., object]) -> Callable[..., Future[object]]:
    def call(*given: object) -> Future[object]:
        future: Future[object] = Future()
        future.set_result(forward(*given))
        return future

    return call


@pytest.mark.parametrize("name", ["FeatureAblation", "FeaturePermutation", "ShapleyValueSampling"])
def test_futures(name: str) -> None:
    model = small()
    for forward in (model, total, lambda x: float(x.sum())):
        expected = getattr(ours, name)(forward).attribute((X,))
        found = getattr(ours, name)(promised(forward)).attribute_future((X,))
        assert isinstance(found, Future)
        assert_alike(found.wait(), expected)
    for kind in (AssertionError, TypeError, ArgumentTypeError):
        with pytest.raises(kind, match="call attribute_future"):
            getattr(ours, name)(promised(model)).attribute(X, target=0)
        with pytest.raises(kind, match="gives Tensor, no Future: call attribute"):
            getattr(ours, name)(model).attribute_future(X, target=0)


@pytest.mark.parametrize("name", ["Occlusion", "ShapleyValues", "Lime", "KernelShap"])
def test_others_know_no_futures(name: str) -> None:
    with pytest.raises(NotImplementedError, match="attribute_future is not there"):
        getattr(ours, name)(small()).attribute_future()


def test_futures_run_a_model_that_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    found = ours.FeatureAblation(lambda x: promised(model)(x)).attribute_future(X, target=0).wait()
    assert found.shape == X.shape

    class Promised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Future[Tensor]:
            return promised(self.model)(x)

    twice = [ours.FeatureAblation(Promised()).attribute_future(X, target=0).wait() for _ in range(2)]
    assert torch.equal(*twice)  # without dropout
    assert model.training


@pytest.mark.parametrize(
    "name", ["FeatureAblation", "FeaturePermutation", "ShapleyValueSampling", "Lime", "KernelShap"]
)
def test_progress(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for forward in (small(), lambda x: float(x.sum())):
        method = getattr(ours, name)(forward)
        method.attribute(X, target=0 if isinstance(forward, nn.Module) else None, show_progress=True)
        said = capsys.readouterr().err
        assert f"{method.get_name()} attribution: 100%" in said
    method.attribute(X)
    assert not capsys.readouterr().err


def test_perturbations_per_eval_bounds_the_rows() -> None:
    rows: list[int] = []

    def forward(x: Tensor) -> Tensor:
        rows.append(len(x))
        return x.sum(dim=1)

    ours.FeatureAblation(forward).attribute(X, perturbations_per_eval=3)
    assert rows == [3, 9, 3]
    for wrong in (0, 1.5):
        with pytest.raises(ArgumentError, match="must be an integer of at least 1"):
            ours.FeatureAblation(forward).attribute(X, perturbations_per_eval=wrong)


def test_what_gives_no_tensor_is_refused() -> None:
    with pytest.raises(AssertionError, match="got str"):
        ours.FeatureAblation(lambda _: "three").attribute(X)


def test_names_and_properties() -> None:
    assert ours.FeatureAblation.get_name() == "Feature Ablation"
    assert ours.ShapleyValueSampling.get_name() == "Shapley Value Sampling"
    assert ours.FeatureAblation(small()).multiplies_by_inputs
    assert not ours.LimeBase.multiplies_by_inputs.fget(None)
    assert not ours.Occlusion(small()).has_convergence_delta()
    assert ours.FeatureAblation.attribute.__wrapped__


def test_integers_that_are_their_own_baseline_get_nothing() -> None:
    x = torch.zeros(2, 3, dtype=torch.int64)
    for name in ("FeatureAblation", "ShapleyValues", "KernelShap", "Lime"):
        assert getattr(ours, name)(lambda x: x.sum(dim=1) + 1).attribute(x).abs().max() == 0


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_masks_and_baselines(data: st.DataObject) -> None:
    drawn = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    sizes = data.draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=3))
    samples, per_eval = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    inputs = tuple(torch.randn(samples, *sides, generator=drawn) for sides in sizes)
    masks = []
    for leaf in inputs:
        shape = [data.draw(st.sampled_from(sorted({1, side}))) for side in leaf.shape]
        masks.append(torch.randint(-3, 4, shape[data.draw(st.integers(0, len(shape))) :], generator=drawn))
    baselines = tuple(torch.randn(1, *sides, generator=drawn) for sides in sizes)

    def forward(*given: Tensor) -> Tensor:
        return torch.stack([(1 + i) * x.flatten(1).cos().prod(dim=1) for i, x in enumerate(given)]).sum(dim=0)

    feature_mask = tuple(masks) if data.draw(st.booleans()) else None
    expected = captum.FeatureAblation(forward).attribute(inputs, baselines, feature_mask=feature_mask)
    found = ours.FeatureAblation(forward).attribute(
        inputs, baselines, feature_mask=feature_mask, perturbations_per_eval=per_eval
    )  # Captum's own perturbations_per_eval takes masks of fewer dimensions for something else
    assert_alike(found, expected)


@pytest.mark.parametrize("name", ["FeatureAblation", "FeaturePermutation", "ShapleyValues", "KernelShap", "Lime"])
def test_models_that_work_in_place_on_their_inputs(name: str) -> None:
    x = X.clone()
    for last in (lambda x: x.sum(dim=1), lambda x: x.sum()):
        results = [
            getattr(ours, name)(lambda x, relu=relu, last=last: last(relu(x) * 2)).attribute(x)
            for relu in (torch.relu_, torch.relu)
        ]
        assert torch.equal(*results)
        assert torch.equal(x, X)


def test_functions_that_exchange_in_place() -> None:
    def swapped(x: Tensor, feature_mask: Tensor) -> Tensor:
        x.copy_(torch.where(feature_mask, x.flip(0), x))
        return x

    for forward in (small(), total):
        expected = ours.FeaturePermutation(forward, turned).attribute(X)
        torch.testing.assert_close(ours.FeaturePermutation(forward, swapped).attribute(X), expected)
