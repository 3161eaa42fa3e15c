import math

import pytest
import torch

from lightning_explain.captum.attr.similarity import ExponentialKernel, get_exp_kernel_similarity_function
from lightning_explain.captum.errors import ArgumentError

A = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
B = torch.tensor([[0.0, 0.0], [0.0, 4.0]])


def test_euclidean_weights_by_hand() -> None:
    assert ExponentialKernel("euclidean", 2.0)(A, B) == pytest.approx(math.exp(-(3**2) / (2 * 2**2)))


def test_cosine_weights_by_hand() -> None:
    distance = 1 - 16 / (5 * 4)
    assert ExponentialKernel("cosine", 0.5)(A, B) == pytest.approx(math.exp(-(distance**2) / (2 * 0.5**2)))


def test_what_is_the_same_counts_in_full_and_several_inputs_are_one_vector() -> None:
    for mode in ("cosine", "euclidean"):
        kernel = ExponentialKernel(mode, 0.7)
        assert kernel(A, A.clone()) == pytest.approx(1.0)
        assert kernel((A[:1], A[1:]), (B[:1], B[1:])) == pytest.approx(kernel(A, B))
        assert kernel(A, B, torch.ones(1, 4), baselines=0) == kernel(A, B)  # Captum passes these on


def test_half_precision_is_measured_in_full() -> None:
    far = torch.full((1, 4), 300.0).half()  # whose square is no float16
    assert ExponentialKernel("euclidean", 600.0)(far, far * 0) == pytest.approx(math.exp(-0.5))


def test_weights_of_many_distances() -> None:
    distances = torch.tensor([[0.0, 1.0], [2.0, 3.0]], dtype=torch.float64)
    weights = ExponentialKernel("euclidean", 2.0).of(distances)
    torch.testing.assert_close(weights, (-(distances**2) / 8).exp())


@pytest.mark.parametrize("width", [0, -1.0])
def test_a_kernel_has_a_width(width: float) -> None:
    with pytest.raises(ArgumentError, match=f"kernel_width must be above 0, got {width}"):
        ExponentialKernel("cosine", width)


def test_there_are_two_distances() -> None:
    with pytest.raises(ArgumentError, match=r"distance_mode 'cosin'.*cosine.*euclidean"):
        get_exp_kernel_similarity_function("cosin")
    assert get_exp_kernel_similarity_function() == ExponentialKernel("cosine", 1.0)
