import captum.attr
import pytest
import torch
from torch import nn

from lightning_explain.captum.attr._models import base


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"table": nn.Embedding(7, 3)})
        self.embedding = nn.Embedding(7, 3)
        self.linear = nn.Linear(3, 2)

    def forward(self, ids, others):
        return self.linear(self.embedding(ids).mean(1) + self.inner["table"](others).mean(1))


@pytest.fixture
def ids():
    return torch.tensor([[1, 2, 3], [4, 5, 6]])


def configured(model, name):
    with pytest.warns(UserWarning, match=r"now takes vectors in place of token ids"):
        return base.configure_interpretable_embedding_layer(model, name)


@pytest.mark.parametrize(("name", "position"), [("embedding", 0), ("inner.table", 1)])
def test_a_model_takes_vectors_and_is_given_back(ids, name, position):
    model = Text().eval()
    before, expected = dict(model.named_modules()), model(ids, ids)
    layer = configured(model, name)
    inputs = [ids, ids]
    inputs[position] = layer.indices_to_embeddings(ids)
    assert inputs[position].shape == (2, 3, 3)
    torch.testing.assert_close(model(*inputs), expected)
    assert not any(module.training for module in model.modules())
    base.remove_interpretable_embedding_layer(model, layer)
    after = dict(model.named_modules())
    assert list(after) == list(before)
    assert all(after[key] is module for key, module in before.items())


def test_vectors_are_explained_as_by_captum(ids):
    model = Text().eval()
    layer = configured(model, "embedding")
    vectors = layer.indices_to_embeddings(ids)
    found = captum.attr.IntegratedGradients(model).attribute(vectors, additional_forward_args=ids, target=1)
    base.remove_interpretable_embedding_layer(model, layer)
    with pytest.warns(UserWarning, match=r"interpretable"):
        theirs = captum.attr.configure_interpretable_embedding_layer(model, "embedding")
    expected = captum.attr.IntegratedGradients(model).attribute(vectors, additional_forward_args=ids, target=1)
    captum.attr.remove_interpretable_embedding_layer(model, theirs)
    torch.testing.assert_close(found, expected)
    assert (layer.num_embeddings, layer.embedding_dim) == (theirs.num_embeddings, theirs.embedding_dim)


def test_twice_is_refused(ids):
    model = Text()
    configured(model, "embedding")
    with pytest.raises(AssertionError, match=r"'embedding' takes vectors already"):
        base.configure_interpretable_embedding_layer(model)


def test_vectors_may_come_by_name_and_must_come(ids):
    layer = base.InterpretableEmbeddingBase(nn.Embedding(7, 3), "embedding")
    assert layer(input=ids) is ids
    with pytest.raises(ValueError, match=r"'embedding' was called without vectors"):
        layer()


def test_references_are_one_token_everywhere():
    reference = base.TokenReferenceBase(5).generate_reference(4, torch.device("cpu"))
    expected = captum.attr.TokenReferenceBase(5).generate_reference(4, torch.device("cpu"))
    torch.testing.assert_close(reference, expected)
    assert base.TokenReferenceBase().generate_reference(2, torch.device("cpu")).tolist() == [0, 0]
