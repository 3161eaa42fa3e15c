from itertools import pairwise, permutations

import captum.attr
import numpy as np
import pytest
import torch
from drop_in.attr.language import Recurrent, Tokenizer, log_probs
from PIL import Image

from lightning_explain.captum import attr
from lightning_explain.captum.attr._utils.interpretable_input import (
    ImageMaskInput,
    InterpretableInput,
    TextTemplateInput,
    TextTokenInput,
)
from lightning_explain.captum.attr.llm.perturbation import LLMAttribution

TARGET = "the mat ran"
TEMPLATE = ("a {} sat on {} and {}", ["cat", "mat", "dog"], ["dog", "a", "the"])
METHODS = ["FeatureAblation", "ShapleyValueSampling", "ShapleyValues", "Lime", "KernelShap"]


@pytest.fixture
def model():
    return Recurrent().eval()


def text(kind=TextTemplateInput):
    return kind(*TEMPLATE)


def tokens(kind=TextTokenInput):
    return kind("the cat sat on a", Tokenizer(), skip_tokens=["on", "a"])


def scores(model, there):
    words = [value if held else baseline for held, value, baseline in zip(there, *TEMPLATE[1:], strict=True)]
    found = log_probs(model, TEMPLATE[0].format(*words), TARGET)
    return torch.cat([found.sum()[None], found])


def test_ablation_is_what_each_feature_takes_with_it(model):
    result = LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer()).attribute(text(), TARGET)
    whole = scores(model, [1, 1, 1])
    reference = torch.stack([whole - scores(model, [f != g for g in range(3)]) for f in range(3)], dim=1)
    torch.testing.assert_close(result.seq_attr, reference[0])
    torch.testing.assert_close(result.token_attr, reference[1:])
    assert (result.input_tokens, result.output_tokens) == (TEMPLATE[1], TARGET.split())


def test_shapley_values_are_mean_contributions(model):
    result = LLMAttribution(captum.attr.ShapleyValues(model), Tokenizer()).attribute(text(), TARGET)
    orders = list(permutations(range(3)))
    reference = torch.zeros(4, 3)
    for order in orders:
        steps = [scores(model, [f in order[:n] for f in range(3)]) for n in range(4)]
        for feature, (before, after) in zip(order, pairwise(steps), strict=True):
            reference[:, feature] += (after - before) / len(orders)
    torch.testing.assert_close(result.seq_attr, reference[0])
    torch.testing.assert_close(result.token_attr, reference[1:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [text, tokens])
@pytest.mark.parametrize("target", ["log_prob", "prob"])
def test_attributions_are_those_of_captum(model, method, make, target):
    found = []
    for kind, attribution in ((None, LLMAttribution), (captum.attr, captum.attr.LLMAttribution)):
        torch.manual_seed(0)
        inp = make() if kind is None else make(getattr(kind, type(make()).__name__))
        explained = attribution(getattr(captum.attr, method)(model), Tokenizer(), target)
        found.append(explained.attribute(inp, TARGET, use_cached_outputs=False))
    ours, theirs = found
    torch.testing.assert_close(ours.seq_attr, theirs.seq_attr)
    if theirs.token_attr is None:
        assert ours.token_attr is None
    else:
        torch.testing.assert_close(ours.token_attr, theirs.token_attr)
    assert (ours.input_tokens, ours.output_tokens) == (theirs.input_tokens, theirs.output_tokens)


@pytest.mark.parametrize("make", [text, tokens])
def test_ways_and_rows_do_not_matter(model, make):
    explained = LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer())
    expected = explained.attribute(make(), TARGET)
    for how in (
        {"forward_in_tokens": False},
        {"use_cached_outputs": False},
        {"perturbations_per_eval": 2},
        {"num_trials": 3},
        {"perturbations_per_eval": 3, "forward_in_tokens": False},
    ):
        result = explained.attribute(make(), TARGET, **how)
        torch.testing.assert_close(result.token_attr, expected.token_attr)
        torch.testing.assert_close(result.seq_attr, expected.seq_attr)


def test_rows_of_tokens_share_passes(model):
    explained = LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer())
    seen = []  # model.seen is put back, as all that a model keeps
    model.register_forward_pre_hook(
        lambda _, args, named: seen.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    explained.attribute(tokens(), TARGET, forward_in_tokens=False, perturbations_per_eval=3)
    assert seen == [(1, 8), (3, 8)]
    assert not model.seen


class ShapleyValueSampling:
    """Draws what torch was seeded with, as methods of this package do, and gives it back."""

    def __init__(self, forward_func):
        self.forward_func = forward_func
        self.seeds = []

    def attribute(self, there):
        self.seeds.append(torch.initial_seed())
        drawn = torch.rand(1, generator=torch.Generator().manual_seed(torch.initial_seed()))
        return drawn * self.forward_func(there).T @ there


def test_trials_draw_other_numbers(model):
    before = torch.initial_seed(), torch.get_rng_state()
    method = ShapleyValueSampling(model)
    explained = LLMAttribution(method, Tokenizer())
    once = explained.attribute(text(), TARGET)
    twice, again = (explained.attribute(text(), TARGET, num_trials=3) for _ in range(2))
    assert method.seeds[0] == method.seeds[1] == torch.initial_seed()
    assert len(set(method.seeds[1:4])) == 3
    assert method.seeds[1:4] == method.seeds[4:]
    torch.testing.assert_close(twice.seq_attr, again.seq_attr)
    assert not torch.allclose(once.seq_attr, twice.seq_attr)
    assert torch.initial_seed() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_values_of_one_feature_share_their_attribution(model):
    inp = TextTemplateInput(*TEMPLATE, mask=[0, 1, 0])
    result = LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer()).attribute(inp, TARGET)
    expected = scores(model, [1, 1, 1]) - scores(model, [0, 1, 0])
    assert result.seq_attr[0] == result.seq_attr[2] == pytest.approx(float(expected[0]), abs=1e-5)
    assert result.token_attr.shape == (3, 3)


def test_targets_may_be_ids_or_what_the_model_writes(model):
    explained = LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer())
    ids = torch.tensor(Tokenizer().encode(TARGET))
    torch.testing.assert_close(explained.attribute(text(), ids).seq_attr, explained.attribute(text(), TARGET).seq_attr)
    written = explained.attribute(text(), gen_args={"max_new_tokens": 4})
    expected = captum.attr.LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer())
    theirs = expected.attribute(
        text(captum.attr.TextTemplateInput), gen_args={"max_new_tokens": 4}, use_cached_outputs=False
    )
    assert written.output_tokens == theirs.output_tokens
    torch.testing.assert_close(written.seq_attr, theirs.seq_attr)
    assert len(explained.attribute(text()).output_tokens) == 25


@pytest.mark.parametrize("method", ["FeatureAblation", "KernelShap"])
def test_inputs_are_told(model, method):
    told = []
    explained = LLMAttribution(getattr(captum.attr, method)(model), Tokenizer())
    explained.attribute(text(), TARGET, _inspect_forward=lambda *said: told.append(said))
    assert told[0][:2] == ("a cat sat on mat and dog", TARGET)
    assert told[0][2] == pytest.approx(scores(model, [1, 1, 1]).exp().tolist(), abs=1e-5)


def test_images_are_explained(model):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    mask = torch.arange(4).div(2, rounding_mode="floor").expand(4, 4)

    def processor(picture):
        shade = int(np.asarray(picture, dtype=int).sum() % 7)
        return {"input_ids": torch.tensor([[2, 3, 2 + shade]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}

    found = []
    for module, attribution in (
        (ImageMaskInput, LLMAttribution),
        (captum.attr.ImageMaskInput, captum.attr.LLMAttribution),
    ):
        explained = attribution(captum.attr.ShapleyValues(model), Tokenizer())
        inp = module(image, mask, processor_fn=processor)
        found.append(explained.attribute(inp, TARGET, use_cached_outputs=False))
    torch.testing.assert_close(found[0].token_attr, found[1].token_attr)
    assert found[0].token_attr.abs().sum() > 0
    assert found[0].inp.n_itp_features == 2


def test_the_method_is_not_changed(model):
    method = captum.attr.FeatureAblation(model)
    LLMAttribution(method, Tokenizer()).attribute(text(), TARGET)
    assert method.forward_func is model
    assert list(model._modules) == ["embedding", "dropout", "cell", "out"]


class Other(InterpretableInput):
    n_itp_features, values = 1, ["x"]

    def to_tensor(self):
        return torch.ones(1, 1)

    def to_model_input(self, perturbed_tensor=None):
        return 3


@pytest.mark.parametrize("package", [attr, captum.attr])
def test_a_model_in_training_mode_writes_in_evaluation_mode(package):
    model = Recurrent().train()
    explained = LLMAttribution(package.FeatureAblation(model), Tokenizer())
    state = torch.get_rng_state()
    found = explained.attribute(text(), gen_args={"max_new_tokens": 4})
    assert torch.equal(torch.get_rng_state(), state)
    assert model.dropout.training
    model.eval()
    again = explained.attribute(text(), gen_args={"max_new_tokens": 4})
    assert found.output_tokens == again.output_tokens
    assert torch.equal(found.seq_attr, again.seq_attr)


def test_mistakes_are_named(model):
    with pytest.raises(AssertionError, match=r"LLMAttribution takes FeatureAblation, .*; got Saliency"):
        LLMAttribution(captum.attr.Saliency(model), Tokenizer())
    with pytest.raises(ValueError, match=r"Expected attr_target 'log_prob' or 'prob', got 'logit'"):
        LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer(), "logit")
    with pytest.raises(TypeError, match=r"Expected a language model as the method's forward function, got function"):
        LLMAttribution(captum.attr.FeatureAblation(lambda x: x), Tokenizer())
    explained = LLMAttribution(captum.attr.FeatureAblation(model), Tokenizer())
    with pytest.raises(AssertionError, match=r"takes TextTemplateInput, TextTokenInput, ImageMaskInput; got Other"):
        explained.attribute(Other(), TARGET)
    with pytest.raises(AssertionError, match=r"gen_args say how a target is written; there is one already"):
        explained.attribute(text(), TARGET, gen_args={"max_new_tokens": 1})
    with pytest.raises(AssertionError, match=r"token ids as \(tokens,\), got shape \(1, 2\)"):
        explained.attribute(text(), torch.tensor([[2, 3]]))
    with pytest.raises(TypeError, match=r"Expected a target as a text or as token ids, got int"):
        explained.attribute(text(), 3)
    with pytest.raises(ValueError, match=r"Expected at least one trial, got num_trials=0"):
        explained.attribute(text(), TARGET, num_trials=0)
    with pytest.raises(ValueError, match=r"The target has no tokens"):
        explained.attribute(text(), "")
    with pytest.raises(NotImplementedError, match=r"attribute_future is not there for LLMAttribution"):
        explained.attribute_future()


def test_models_that_write_nothing_and_inputs_of_no_kind():
    silent = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"Linear has no generate\(\), so target= must be given"):
        LLMAttribution(captum.attr.FeatureAblation(silent), Tokenizer()).attribute(text())
    inp = ImageMaskInput(Image.fromarray(np.zeros((2, 2, 3), dtype=np.uint8)))
    with pytest.raises(TypeError, match=r"Expected a text, token ids or a mapping as input, got Image"):
        LLMAttribution(captum.attr.FeatureAblation(Recurrent()), Tokenizer()).attribute(inp, TARGET)
