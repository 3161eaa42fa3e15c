import torch

from lightning_explain.attribution.digest import digest


def test_equal_contents_have_equal_names_whatever_their_layout():
    a = torch.arange(6.0).view(2, 3)
    assert digest(a) == digest(a.T.contiguous().T) == digest(a.clone().requires_grad_())
    assert len({digest(t) for t in (a, a.view(3, 2), a.double(), a + 1, a.bool(), a.bfloat16(), a[0])}) == 7


def test_scalars_and_empty_tensors_have_names():
    assert digest(torch.tensor(1.0)) != digest(torch.tensor([1.0]))
    assert digest(torch.empty(0, 2)) != digest(torch.empty(2, 0))
