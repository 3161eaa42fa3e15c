import torch

from lightning_explain.precision import accurate


def test_numbers_of_any_type_become_float64():
    for given in (torch.tensor([1.5, -2.0], dtype=torch.bfloat16), torch.tensor([True, False]), torch.tensor([3, 4])):
        result = accurate(given)
        assert result.dtype == torch.float64
        assert result.tolist() == [float(v) for v in given.tolist()]


def test_where_the_device_has_no_float64_the_numbers_go_to_the_cpu():
    class OnMPS:
        """Stands for a tensor on a device that refuses float64; there is none to test on."""

        device = torch.device("mps")

        def cpu(self):
            return torch.tensor([0.5], dtype=torch.float32)

        def double(self):
            raise TypeError("the MPS framework doesn't support float64")

    assert accurate(OnMPS()).dtype == torch.float64
