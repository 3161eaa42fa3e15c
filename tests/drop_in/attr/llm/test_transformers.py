"""GPT-2 of transformers, of random weights: nothing is downloaded."""

import captum.attr
import pytest
import torch
from drop_in.attr.language import WORDS

from lightning_explain.captum.attr._utils import interpretable_input
from lightning_explain.captum.attr.llm import LLMAttribution, LLMGradientAttribution

try:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
except Exception as error:  # noqa: BLE001  (a broken torchvision breaks it with a RuntimeError)
    pytest.skip(f"transformers cannot be imported: {error}", allow_module_level=True)

TARGET = "the mat ran"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = GPT2Config(**sizes, initializer_range=0.5, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    return GPT2LMHeadModel(config).eval()


@pytest.fixture(scope="module")
def tokenizer():
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")


def inputs(module, tokenizer):
    return [
        module["TextTokenInput"]("the cat sat on a", tokenizer, skip_tokens=["on"], baselines="[PAD]"),
        module["TextTemplateInput"]("a {} sat on {}", ["cat", "mat"], ["dog", "a"]),
    ]


@pytest.mark.parametrize("kind", [0, 1], ids=["tokens", "template"])
@pytest.mark.parametrize("in_tokens", [True, False])
def test_attributions_are_those_of_captum(model, tokenizer, kind, in_tokens):
    inp = inputs(vars(interpretable_input), tokenizer)[kind]
    theirs = captum.attr.LLMAttribution(captum.attr.FeatureAblation(model), tokenizer).attribute(
        inputs(vars(captum.attr), tokenizer)[kind], TARGET, use_cached_outputs=False, forward_in_tokens=in_tokens
    )
    explained = LLMAttribution(captum.attr.FeatureAblation(model), tokenizer)
    # With what the model keeps, too: transformers' model takes it from one pass to the next.
    for cached in (True, False):
        ours = explained.attribute(inp, TARGET, use_cached_outputs=cached, forward_in_tokens=in_tokens)
        torch.testing.assert_close(ours.token_attr, theirs.token_attr, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.seq_attr, theirs.seq_attr, atol=1e-4, rtol=1e-4)
        assert (ours.input_tokens, ours.output_tokens) == (theirs.input_tokens, theirs.output_tokens)


@pytest.mark.filterwarnings("ignore:.*attention_mask")
def test_what_the_model_writes_is_explained(model, tokenizer):
    inp = inputs(vars(interpretable_input), tokenizer)[0]
    explained = LLMAttribution(captum.attr.FeatureAblation(model), tokenizer)
    result = explained.attribute(inp, gen_args={"max_new_tokens": 3, "do_sample": False})
    assert result.token_attr.shape == (len(result.output_tokens), 4)


def test_gradients_are_those_of_captum(model, tokenizer):
    found = []
    for module, attribution in (
        (vars(interpretable_input), LLMGradientAttribution),
        (vars(captum.attr), captum.attr.LLMGradientAttribution),
    ):
        method = captum.attr.LayerIntegratedGradients(model, model.transformer.wte)
        found.append(attribution(method, tokenizer).attribute(inputs(module, tokenizer)[0], TARGET, n_steps=5))
    torch.testing.assert_close(found[0].token_attr, found[1].token_attr)
