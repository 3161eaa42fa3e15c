"""Two processes on one machine."""

from datetime import timedelta

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy


class TwoProcesses(DDPStrategy):
    """Gloo, with an orderly end: a process that leaves while the other still listens is aborted now and then."""

    def __init__(self):
        super().__init__(process_group_backend="gloo", start_method="spawn", timeout=timedelta(seconds=60))

    def teardown(self):
        super().teardown()
        if dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()
