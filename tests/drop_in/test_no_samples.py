"""An empty batch: nothing comes of it where nothing comes of it in Captum, and elsewhere it is said to be empty."""

import inspect

import captum.attr
import pytest
import torch
from captum._utils.models.linear_model import SkLearnLasso
from torch import Tensor, nn

from lightning_explain.captum import attr, metrics, robust
from lightning_explain.captum.errors import ArgumentError

X = torch.zeros(0, 1, 4, 4)
KNOWN = torch.zeros(3, 1, 4, 4)
SAID = r"Expected at least one sample, got inputs of shape \(0, 1, 4, 4\)\."

CLASSES = sorted(
    name
    for name, kind in vars(attr).items()
    if inspect.isclass(kind)
    and issubclass(kind, attr.Attribution)
    and not name.endswith("Attribution")  # the bases, and what explains texts and loaders
)
EMPTY = {
    "FeatureAblation", "FeaturePermutation", "Occlusion", "NeuronFeatureAblation", "LayerActivation",
    "LayerFeatureAblation",
}  # fmt: skip
"""Those for which Captum returns an empty tensor."""
BESIDE = {"NeuronFeaturePermutation", "NeuronOcclusion", "LayerFeaturePermutation", "LayerOcclusion"}
"""The same methods, where Captum has none or fails."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).flatten(1))


def explained(package: object, name: str, x: Tensor) -> object:
    model, kind = Net().eval(), getattr(package, name)
    if name == "NoiseTunnel":
        return kind(package.Saliency(model)).attribute(x, target=1)
    if name == "LimeBase":
        parts = (SkLearnLasso(alpha=0.1), lambda *_, **__: 1.0, lambda inputs, **_: inputs, False, None)
        return kind(model, *parts, lambda *_, **__: torch.ones(1, 3)).attribute(x, target=1)
    takes = inspect.signature(kind).parameters
    method = kind(model, *([model.conv] if "layer" in takes else []))
    takes = inspect.signature(method.attribute).parameters
    given = {
        "target": 1,
        "neuron_selector": (0, 0, 0),
        "sliding_window_shapes": (2, 2, 2) if name.startswith("Layer") else (1, 2, 2),
        **({"baselines": KNOWN} if "Shap" in name and ("Deep" in name or "Gradient" in name) else {}),
    }
    return method.attribute(x, **{key: value for key, value in given.items() if key in takes})


@pytest.mark.parametrize("name", CLASSES)
def test_every_method(name: str) -> None:
    if name in EMPTY | BESIDE:
        assert explained(attr, name, X).shape == ((0, 2, 4, 4) if name.startswith("Layer") else X.shape)
    else:
        with pytest.raises(ArgumentError, match=SAID):
            explained(attr, name, X)


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_it_is_what_captum_returns(name: str) -> None:
    found, expected = (explained(package, name, X) for package in (attr, captum.attr))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


def test_tuples_and_several_layers_keep_their_form() -> None:
    model = Net().eval()
    found = attr.LayerActivation(model, [model.conv, model.head]).attribute(X)
    assert [tuple(leaf.shape) for leaf in found] == [(0, 2, 4, 4), (0, 3)]
    (found,) = attr.FeatureAblation(model).attribute((X,), target=0)
    assert found.shape == X.shape


def test_an_input_without_rows_beside_others_is_no_empty_batch() -> None:
    found = attr.FeatureAblation(lambda x, y: x.sum(dim=1) + y.sum()).attribute((torch.ones(2, 3), torch.zeros(0)))
    assert found[0].eq(1).all()
    assert found[1].eq(0).all()


def test_of_several_inputs_all_shapes_are_said() -> None:
    with pytest.raises(ArgumentError, match=r"got inputs of shape \(0, 2\), \(0,\)\."):
        attr.Saliency(lambda x, y: x.sum(dim=1) + y).attribute((torch.zeros(0, 2), torch.zeros(0)))


class Foreign:
    """Another library's method."""

    forward_func = staticmethod(lambda x: x.sum(dim=(1, 2, 3)))
    multiplies_by_inputs = False

    def has_convergence_delta(self) -> bool:
        return False

    def attribute(self, inputs: Tensor) -> Tensor:
        return inputs


def test_what_stands_around_methods() -> None:
    with pytest.raises(ArgumentError, match=SAID):
        attr.NoiseTunnel(Foreign()).attribute(X)
    with pytest.raises(ArgumentError, match=r"got end_point of shape \(0, 1, 4, 4\)"):
        attr.IntegratedGradients(Net()).compute_convergence_delta(X, None, X, target=0)
    loader = attr.DataLoaderAttribution(attr.FeatureAblation(Net()))
    with pytest.raises(ArgumentError, match=r"got a first batch of shape \(0, 1, 4, 4\)"):
        loader.attribute([X])
    with pytest.raises(ArgumentError, match="The dataloader gives no batch"):
        loader.attribute([])


def test_metrics() -> None:
    model = Net().eval()
    with pytest.raises(ArgumentError, match=SAID):
        metrics.infidelity(model, lambda inputs: (inputs, inputs), X, X, target=1)
    with pytest.raises(ArgumentError, match=SAID):
        metrics.sensitivity_max(lambda inputs: inputs, X)


def test_attacks_give_no_perturbed_samples() -> None:
    model = nn.Sequential(Net(), nn.Softmax(dim=1)).eval()
    assert robust.FGSM(model).perturb(X, 0.1, 1).shape == X.shape
    for norm in ("Linf", "L2"):
        found = robust.PGD(model).perturb(X, 0.1, 0.1, 2, 1, random_start=True, norm=norm)
        assert found.shape == X.shape


def test_no_attack_misleads_a_model_of_nothing() -> None:
    search = robust.MinParamPerturbation(Net(), lambda inputs, size: inputs + size, "size", 0, 1, 0.3)
    assert search.evaluate(X, target=torch.zeros(0, dtype=torch.long)) == (None, None)
    compared = robust.AttackComparator(Net(), lambda outputs: outputs[:, 0])
    compared.add_attack(lambda inputs: inputs + 1, "moved")
    assert compared.evaluate(X)["moved"]["mean"].shape == (0,)
