import captum.attr
import numpy as np
import pytest
import torch
from drop_in.attr.language import Recurrent, Tokenizer

from lightning_explain.captum.attr._utils.interpretable_input import TextTemplateInput, TextTokenInput
from lightning_explain.captum.attr.llm.gradient import LLMGradientAttribution

PROMPT, TARGET = "the cat sat on a", "mat and dog"


@pytest.fixture
def model():
    return Recurrent().eval()


def explained(model, method, attribution, kind, target=TARGET, skip=None, **kwargs):
    made = getattr(captum.attr, method)(model, model.embedding)
    torch.manual_seed(0)
    inp = kind(PROMPT, Tokenizer(), skip_tokens=skip)
    return attribution(made, Tokenizer()).attribute(inp, target, **kwargs)


def test_gradient_times_vector_is_that_of_each_token(model):
    result = explained(model, "LayerGradientXActivation", LLMGradientAttribution, TextTokenInput)
    ids = torch.tensor([Tokenizer().encode(f"{PROMPT} {TARGET}")])
    vectors = model.embedding(ids).detach().requires_grad_()
    found = (3 * model.out(model.cell(vectors)[0])).log_softmax(-1)
    for position in range(3):
        (gradient,) = torch.autograd.grad(found[0, 4 + position, ids[0, 5 + position]], vectors, retain_graph=True)
        torch.testing.assert_close(result.token_attr[position], (gradient * vectors).sum(-1)[0, :5])
    torch.testing.assert_close(result.seq_attr, result.token_attr.sum(0))
    assert not result.token_attr.requires_grad
    assert (result.input_tokens, result.output_tokens) == (PROMPT.split(), TARGET.split())


@pytest.mark.parametrize("method", ["LayerGradientXActivation", "LayerIntegratedGradients"])
@pytest.mark.parametrize("skip", [None, ["cat", "on"]], ids=["all", "some"])
def test_attributions_are_those_of_captum(model, method, skip):
    ours = explained(model, method, LLMGradientAttribution, TextTokenInput, skip=skip)
    theirs = explained(model, method, captum.attr.LLMGradientAttribution, captum.attr.TextTokenInput, skip=skip)
    torch.testing.assert_close(ours.token_attr, theirs.token_attr)
    torch.testing.assert_close(ours.seq_attr, theirs.seq_attr)
    assert (ours.input_tokens, ours.output_tokens) == (theirs.input_tokens, theirs.output_tokens)


def test_samples_explain_the_token_that_is_meant(model):
    """Captum repeats the target's tokens with the samples: from the second on it explains another one."""
    baselines, words = torch.zeros(1, 5, dtype=torch.long), Tokenizer().encode(TARGET)
    np.random.seed(0)
    ours = explained(model, "LayerGradientShap", LLMGradientAttribution, TextTokenInput, baselines=baselines)
    text = TextTokenInput(PROMPT, Tokenizer())
    np.random.seed(0)
    torch.manual_seed(0)
    for position, word in enumerate(words):

        def score(there, before=words[:position], word=word):
            ids = text.to_model_input(there)
            read = torch.cat([ids, torch.tensor([before] * len(ids), dtype=torch.long)], dim=1)
            return model(read).logits[:, -1].log_softmax(-1)[:, word]

        method = captum.attr.LayerGradientShap(score, model.embedding)
        reference = method.attribute(text.to_tensor(), baselines).sum(-1)[:, :5]
        torch.testing.assert_close(ours.token_attr[position : position + 1], reference.detach())


def test_what_the_model_writes_is_explained(model):
    result = explained(model, "LayerGradientXActivation", LLMGradientAttribution, TextTokenInput, None)
    assert len(result.output_tokens) == 25


def test_mistakes_are_named(model):
    with pytest.raises(AssertionError, match=r"takes LayerGradientShap, .*; got FeatureAblation"):
        LLMGradientAttribution(captum.attr.FeatureAblation(model), Tokenizer())
    method = captum.attr.LayerGradientXActivation(model, model.embedding)
    with pytest.raises(AssertionError, match=r"takes TextTokenInput; got TextTemplateInput"):
        LLMGradientAttribution(method, Tokenizer()).attribute(TextTemplateInput("{}", ["cat"]), TARGET)
