"""Double precision, also where the accelerator has none."""

from torch import Tensor


def accurate(tensor: Tensor) -> Tensor:
    """The same numbers in float64: sums over a map must not depend on its units.

    Returns:
        A float64 tensor on the same device; on the CPU, where that device knows no float64 (MPS).
    """
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()
