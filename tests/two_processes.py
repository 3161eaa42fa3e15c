"""Two processes on gloo: the same scores on both, and an error on one ends both at once. Run as a script."""

import tempfile
from dataclasses import dataclass

import pytest
import runs
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import ModelCheckpoint
from processes import TwoProcesses

from lightning_explain import AttributionMonitor
from lightning_explain.attribution.methods import Method


@dataclass(frozen=True)
class FailsOnOneRank(Method):
    """Raises on rank 1, once the training runs."""

    name = "fails"

    def __call__(self, problem):
        if dist.is_initialized() and dist.get_rank() == 1:
            raise RuntimeError("planted on rank 1")
        return problem.gradient()


def train(folder, monitor):
    keep = ModelCheckpoint(folder, monitor="attribution/saliency/srg", mode="max")
    callbacks = [monitor, keep] if "saliency" in monitor.methods else [monitor]
    run = runs.trainer(
        folder, *callbacks, devices=2, strategy=TwoProcesses(), enable_checkpointing=len(callbacks) > 1, max_epochs=2
    )
    run.fit(runs.Module(), *runs.loaders())
    return run


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = train(folder, AttributionMonitor(runs.probe(), methods=["saliency", "smoothgrad"]))
        assert run.callback_metrics["attribution/saliency/srg"].isfinite()
        assert run.checkpoint_callback.best_model_path
        print("both processes agree")
        with pytest.raises(Exception, match=r"planted on rank 1|another rank"):
            train(folder, AttributionMonitor(runs.probe(), methods=[FailsOnOneRank()], metrics=["srg"]))
        print("both processes failed")


if __name__ == "__main__":
    main()
