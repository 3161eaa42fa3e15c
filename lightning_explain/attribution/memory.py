"""How much memory a row takes, and how much there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_MEMINFO = Path("/proc/meminfo")


class Footprint(TorchDispatchMode):
    """Adds up the memory of all tensors that operators make in a block, freed or not: a bound on its peak.

    Attributes:
        bytes: The sum.
        device: Where most of it was, the CPU until something is made.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self.device = torch.device("cpu")
        self._largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Run the operator and count what it makes; views of its arguments make nothing.

        Returns:
            What the operator gives.
        """
        given = {t.untyped_storage()._cdata for t in args if isinstance(t, Tensor)}  # noqa: SLF001  (identity)
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, Tensor) and made.untyped_storage()._cdata not in given:  # noqa: SLF001
                self._count(made)
        return result

    def _count(self, tensor: Tensor) -> None:
        size = tensor.untyped_storage().nbytes()
        self.bytes += size
        if size > self._largest:
            self._largest, self.device = size, tensor.device


def available(device: torch.device) -> int | None:
    """The memory that can still be taken on a device.

    Returns:
        Bytes; None where nobody says.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if device.type != "cpu" or not _MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in fields else None
