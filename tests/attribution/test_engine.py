import pytest
import torch
from cases import BY_NAME, CNN, MLP
from torch import Tensor, nn

from lightning_explain import (
    FeatureAblation,
    GradCAM,
    Input,
    IntegratedGradients,
    Layer,
    Neuron,
    Occlusion,
    Saliency,
    SmoothGrad,
    explain,
)
from lightning_explain.attribution.budget import RowBudget
from lightning_explain.attribution.engine import Explainer, explainer, parse, pose
from lightning_explain.attribution.guard import borrowed
from lightning_explain.attribution.methods import Method
from lightning_explain.attribution.problem import Problem
from lightning_explain.inputs import Point

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP()


@pytest.mark.parametrize(
    ("method", "place", "name"),
    [
        ("saliency", None, "saliency"),
        ("saliency", Input(), "saliency"),
        ("saliency@hidden", None, "saliency@hidden"),
        ("saliency@hidden:input", None, "saliency@hidden:input"),
        ("saliency@hidden", Layer("hidden"), "saliency@hidden"),
        (Saliency(), Layer("hidden", of="input"), "saliency@hidden:input"),
        (IntegratedGradients(4), Neuron("hidden", 2), "integrated_gradients@hidden[2]"),
        (IntegratedGradients(4), Neuron("hidden", slice(1, None), of="input"), "integrated_gradients@hidden:input[1:]"),
    ],
)
def test_explainers_are_written_as_they_are_called(method: object, place: object, name: str) -> None:
    found = explain(mlp(), X, method, place)
    assert found.method == name
    assert found.point[0].abs().max() > 0


@pytest.mark.parametrize("text", ["occlusion", "grad_cam@features.3", "smoothgrad@a.b:input"])
def test_what_is_logged_can_be_read_again(text: str) -> None:
    method, place = parse(text)
    assert Explainer(method, place or Input()).name == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"method": "salency"},
            "No attribution method 'salency'. Did you mean 'saliency'. Known: .*integrated_gradients",
        ),
        ({"method": "saliency@hiden"}, "No layer 'hiden'. Did you mean 'hidden'. Known: hidden, head"),
        ({"method": "saliency@hidden:inputs"}, "No side of a layer 'inputs'. Did you mean 'input'"),
        (
            {"method": "saliency@hidden", "place": Layer("head")},
            r"names a place, and place=Layer\(name='head'.* another",
        ),
        ({"method": "saliency@hidden", "place": Input()}, r"names a place, and place=Input.* another"),
        (
            {"target": 3},
            r"Target \[3\] of sample 0 is out of range for outputs of shape \(n, 3\).*4 sample\(s\) are not",
        ),
        ({"target": [0, 1, 5, 9]}, r"Target \[5\] of sample 2 is out of range.*2 sample\(s\) are not"),
        ({"target": "class"}, "No target 'class'.*Known: label, predicted, output"),
        ({"target": "label"}, "The target 'label' needs labels; pass label="),
        ({"target": "label", "label": torch.tensor([0, 1, 2, 3])}, r"Target \[3\] of sample 3"),
        ({"target": "output"}, r"The target 'output' needs one number per sample, the model gives shape \(4, 3\)"),
        ({"target": [0, 1]}, r"a target needs 1 index\(es\) for each of 4 samples, got shape \(2,\)"),
        ({"inputs": X.index_fill(0, torch.tensor([2]), torch.nan)}, r"input holds NaN or infinity.* sample 2"),
        ({"inputs": X[:0]}, "There is nothing to explain: the inputs hold no samples"),
        ({"baseline": torch.zeros(4, 6)}, r"The baseline of input has shape \(4, 6\); expected \(4, 5\), or \(1, 5\)"),
        ({"baseline": "nothing"}, "No baseline 'nothing'. Known: zeros, mean, blur"),
        ({"max_rows": 0}, "max_rows must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explain(**{"model": mlp(), "inputs": X} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": Saliency}, "A method is a name or a Method such as IntegratedGradients"),
        ({"method": None}, "A method is a name or a Method"),
        ({"inputs": [X]}, "Inputs must be a tensor, a tuple of tensors or a dict of tensors, got list"),
    ],
)
def test_what_is_of_another_kind_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        explain(**{"model": mlp(), "inputs": X} | arguments)


class Cut(MLP):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "detach":
            return super().forward(x.detach())
        if self.how == "round":
            return super().forward(x).round().long()
        with torch.no_grad():
            return super().forward(x)


@pytest.mark.parametrize("how", ["detach", "round", "no_grad"])
def test_models_that_cannot_be_differentiated_are_named_as_such(how: str) -> None:
    for method in ("saliency", "integrated_gradients", "smoothgrad", "grad_cam"):
        with pytest.raises(ValueError, match=r"does not depend differentiably on input.*such as occlusion"):
            explain(Cut(how), X, method, Input(), target=1)
    assert explain(Cut(how), 10 * X, "occlusion", target=1).values.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
@pytest.mark.parametrize("method", ["saliency", "input_x_gradient", "smoothgrad", "integrated_gradients"])
def test_integers_have_no_gradient_and_the_message_says_what_to_do(method: str, dtype: torch.dtype) -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)

        def forward(self, ids: Tensor) -> Tensor:
            return self.embedding(ids.long()).sum(dim=1)

    ids = torch.randint(0, 2, (3, 4)).to(dtype)
    ids[0] = 1
    with pytest.raises(TypeError, match=rf"input holds {dtype} values.*place=Layer\('<embedding>'\).*occlusion"):
        explain(Bag(), ids, method, baseline=0)
    assert explain(Bag(), ids, method, Layer("embedding"), baseline=0, target=1).point[0].abs().max() > 0
    assert explain(Bag(), ids, "occlusion", baseline=0, target=1).values.abs().max() > 0


def test_ids_need_a_baseline_of_their_own() -> None:
    case = BY_NAME["words"]
    for place in (Layer("embedding"), None):
        inputs = case.inputs() if place else {"ids": case.inputs()["ids"]}
        model = case.model() if place else nn.Sequential(nn.EmbeddingBag(10, 3))
        forward = (lambda model, given: model(**given)) if place else (lambda model, given: model(given["ids"]))
        with pytest.raises(ValueError, match=r"for the integer inputs stay as they are.*Give baseline="):
            explain(model, inputs, "occlusion", place, 0, forward=forward)
    blank = case.inputs() | {"table": torch.zeros(4, 3, dtype=torch.float64)}  # a blank table is no reason to refuse
    assert explain(case.model(), blank, "integrated_gradients", target=0).values["table"].abs().max() == 0


def test_a_layer_that_is_never_reached_is_named() -> None:
    class Lazy(MLP):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(5, 3)

    for place in (Layer("spare"), Layer("spare", of="input"), Neuron("spare", 0)):
        with pytest.raises(ValueError, match="The layer 'spare' was never reached in the model's forward pass"):
            explain(Lazy(), X, "saliency", place)


class Shaped(nn.Module):
    """Gives what it is told to give."""

    def __init__(self, make: object) -> None:
        super().__init__()
        self.make, self.linear = make, nn.Linear(5, 3)

    def forward(self, x: Tensor) -> object:
        return self.make(self.linear(x))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda out: out.sum(), ValueError, r"output of shape \(\) for \d samples; expected one row per sample"),
        (lambda out: out.T, ValueError, r"output of shape \(3, \d\) for \d samples"),
        (
            lambda out: {"scores": out, "other": 1},
            TypeError,
            r"got a dict with the keys \['scores', 'other'\]\. Pass forward=",
        ),
        (lambda out: [], TypeError, r"got list\. Pass forward="),
        (lambda out: (None, out), TypeError, r"got tuple\. Pass forward="),
    ],
)
def test_outputs_that_cannot_be_read_are_named(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        explain(Shaped(make), X)


@pytest.mark.parametrize(
    ("make", "forward"),
    [
        (lambda out: {"logits": out}, None),
        (lambda out: (out, "attentions"), None),
        (lambda out: [out, None], None),
        (lambda out: {"scores": out}, lambda model, x: model(x)["scores"]),
        (lambda out: out[None], lambda model, x: model(x)[0]),
    ],
)
def test_outputs_of_many_forms(make: object, forward: object) -> None:
    model = Shaped(make)
    found = explain(model, X, Saliency(absolute=False), target=1, **({"forward": forward} if forward else {}))
    torch.testing.assert_close(found.values, model.linear.weight[1].detach().expand(4, 5))


def test_the_result_says_what_was_explained() -> None:
    model = mlp()
    found = explain(model, X, IntegratedGradients(), baseline="mean")
    scores = model(X).detach()
    assert found.names == ("input",)
    assert torch.equal(found.target, scores.argmax(dim=1, keepdim=True))
    torch.testing.assert_close(found.outputs, scores)
    expected = scores.amax(dim=1) - model(X.mean(dim=0, keepdim=True)).detach()[0, scores.argmax(dim=1)]
    torch.testing.assert_close(found.span, expected.double())
    assert found.delta.abs().max() < 1e-5
    assert not hasattr(found.values, "keys")


def test_several_inputs_come_back_in_their_structure() -> None:
    words, several = BY_NAME["words"], BY_NAME["several"]
    assert list(explain(words.model(), words.inputs()).values) == ["table"]
    found = explain(several.model(), several.inputs(), target=0)
    assert [leaf.shape for leaf in found.values] == [(4, 1, 5, 6), (4, 3)]
    layer = explain(words.model(), words.inputs(), "saliency@mix", target=0)
    assert layer.names == ("mix",)
    assert layer.values.shape == (4, 5)
    states = explain(BY_NAME["recurrent"].model(), BY_NAME["recurrent"].inputs(), "saliency@lstm")
    assert states.names == ("lstm[0]", "lstm[1]", "lstm[2]")


@pytest.mark.parametrize(
    "target",
    [2, torch.tensor(2), [2, 2, 2, 2], torch.tensor([2] * 4, dtype=torch.int32), torch.full((4, 1), 2), "label"],
    ids=str,
)
def test_targets_of_many_forms(target: object) -> None:
    expected = explain(mlp(), X, target=2).values
    assert torch.equal(explain(mlp(), X, target=target, label=torch.tensor([2] * 4)).values, expected)


def test_a_neuron_needs_no_target() -> None:
    case = BY_NAME["scalar"]  # whose outputs have no arg max
    found = explain(case.model(), case.inputs(), "saliency", Neuron("hidden", 1))
    assert found.target is None
    torch.testing.assert_close(found.values, case.model().hidden.weight[1].abs().detach().expand(4, 5))


def test_the_last_convolution_is_found_also_in_parts_with_names() -> None:
    nested = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1)), nn.Flatten(), nn.LazyLinear(2)
    )
    nested(torch.randn(1, 2, 5, 5))
    assert explain(nested, torch.randn(2, 2, 5, 5), SmoothGrad(GradCAM(), n_samples=2)).method == "smoothgrad@0.2"


def test_a_problem_is_posed_once_and_explained_many_times() -> None:
    model = CNN().double()
    x = BY_NAME["cnn"].inputs()
    with borrowed(model):
        problem = pose(model, x, "predicted", budget=RowBudget(3))
        assert torch.equal(problem.target, problem.outputs.argmax(dim=1, keepdim=True))
        for method in (Saliency(), Occlusion(3)):
            found = explainer(method, problem)(problem)
            torch.testing.assert_close(found.values, explain(model, x, method).values, rtol=0, atol=1e-12)


def test_methods_of_the_users_may_forget_to_detach() -> None:
    class Weight(Method):
        name = "weight"

        def __call__(self, problem: Problem) -> Point:
            return tuple(z * torch.ones((), requires_grad=True) for z in problem.z)

    found = explain(mlp(), X, Weight()).values
    assert torch.equal(found, X)
    assert not found.requires_grad


def test_a_place_is_no_name() -> None:
    with pytest.raises(TypeError, match=r"A place is Input\(\), Layer\(name\) or Neuron\(name, index\), got 'conv1'"):
        explain(nn.Linear(2, 2), torch.ones(1, 2), "saliency", place="conv1")


def test_a_feature_mask_is_one_of_the_places_variable() -> None:
    model, x = BY_NAME["cnn"].model(), BY_NAME["cnn"].inputs()
    at_layer = explain(
        model, x, "feature_ablation", Layer("conv2"), 1, feature_mask=torch.arange(4).view(1, 4, 1, 1)[:, [0, 1, 0, 1]]
    )
    assert at_layer.coefficients.shape == (4, 2)
    assert torch.equal(at_layer.values[:, 0], at_layer.values[:, 2])
    assert torch.equal(at_layer.values[:, :2, 0, 0], at_layer.coefficients)
    at_neuron = explain(
        model, x, "feature_ablation", Neuron("conv2", (0, 1, 1)), feature_mask=torch.arange(36).view(1, 1, 6, 6) % 2
    )
    assert at_neuron.coefficients.shape == (4, 2)
    with pytest.raises(ValueError, match=r"The feature mask of conv2 has shape .*; expected \(4 or 1, 4 or 1"):
        explain(model, x, "feature_ablation", Layer("conv2"), 1, feature_mask=torch.zeros(1, 2, 6, 6).long())


def test_a_mask_that_does_not_fit_is_refused_where_it_plays_no_part() -> None:
    with pytest.raises(ValueError, match=r"The feature mask of input has shape \(5,\); expected \(4 or 1, 5 or 1\)"):
        explain(mlp(), X, "saliency", feature_mask=torch.zeros(5).long())
    mask = torch.zeros(1, 5).long()
    assert torch.equal(explain(mlp(), X, "saliency", feature_mask=mask).values, explain(mlp(), X, "saliency").values)


def test_a_mask_of_the_inputs_stays_behind_at_layers() -> None:
    problem = pose(mlp(), X, 1, feature_mask=torch.zeros(1, 5).long())
    assert problem.at(Input(channel_dim=None)).features.count == 1
    assert problem.at(Neuron("hidden", 1)).features.count == 1
    assert problem.at(Layer("hidden")).features.count == 6
    assert problem.at(Input()) is problem


def test_a_mask_goes_with_its_samples() -> None:
    mask = torch.arange(4)[:, None] * 10 + torch.tensor([0, 0, 1, 1, 2])
    noisy = explain(mlp(), X, SmoothGrad(Occlusion(1), n_samples=2), feature_mask=mask)
    assert noisy.coefficients is None
    tunnel = SmoothGrad(FeatureAblation(), n_samples=3)
    found = explain(mlp(), X, tunnel, feature_mask=mask, max_rows=5).values
    assert torch.equal(found[:, 0], found[:, 1])
    assert not torch.equal(found[:, 1], found[:, 2])
    alone = explain(mlp(), X[1:2], tunnel, feature_mask=mask[1:2]).values
    torch.testing.assert_close(alone, found[1:2])


@pytest.mark.parametrize("method", ["activation", "integrated_gradients", "feature_ablation"])
def test_results_at_layers_of_models_that_switch_gradients_on_are_detached(method: str) -> None:
    class Differentiating(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                given: Tensor = super().forward(x.detach().requires_grad_())
                return given

    found = explain(Differentiating(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(2, 3), method, Layer("1"))
    assert not found.outputs.requires_grad
    assert not any(leaf.requires_grad for leaf in found.point)
