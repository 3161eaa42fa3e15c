"""On a GPU everything is what it is on a CPU; run where there is one."""

import lightning as L
import pytest
import runs
import torch
from attribution.test_axioms import COMBINATIONS, attribute
from torch.utils.data import DataLoader, TensorDataset

from lightning_explain import AttributionMonitor, IntegratedGradients, explain

if not torch.cuda.is_available():
    pytest.skip("no CUDA device on this machine", allow_module_level=True)


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.mark.parametrize(("name", "case", "place"), COMBINATIONS)
def test_attributions_are_those_of_the_cpu(name, case, place):
    there = attribute(name, case, place, model=case.model().cuda())
    here = attribute(name, case, place)
    assert all(leaf.is_cuda for leaf in there.point)
    for a, b in zip(there.point, here.point, strict=True):
        torch.testing.assert_close(a.cpu(), b, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "method", ["saliency", "integrated_gradients", "smoothgrad", "kernel_shap", "deep_lift", "lrp"]
)
def test_short_numbers_work(method, dtype):
    torch.manual_seed(0)
    model, x = runs.Net().cuda().to(dtype).eval(), torch.rand(4, 1, 8, 8, device="cuda", dtype=dtype)
    found = explain(model, x, method, target=1, feature_mask=_quarters() if method == "kernel_shap" else None)
    wide = explain(
        model.float(), x.float(), method, target=1, feature_mask=_quarters() if method == "kernel_shap" else None
    )
    scale = float(wide.values.abs().max())
    torch.testing.assert_close(
        found.values.float(), wide.values, rtol=0, atol=(1e-5 if dtype.itemsize == 4 else 0.3) * scale
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize("replica", [True, torch.bfloat16])
def test_a_replica_is_kept(monkeypatch, replica, tf32):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    torch.manual_seed(0)
    model, x = runs.Net().cuda().eval(), torch.rand(8, 1, 8, 8, device="cuda")
    kept = explain(model, x, "integrated_gradients", target=1, replica=replica).values
    exact = explain(model, x, "integrated_gradients", target=1).values
    assert float((kept - exact).norm() / exact.norm()) < (0.01 if replica is True else 0.3)


def _quarters():
    return torch.arange(4).view(1, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_memory_is_that_of_a_chunk():
    model, x = runs.Net().cuda().eval(), torch.rand(8, 1, 8, 8, device="cuda")
    peaks = []
    for steps in (64, 640):
        explain(model, x, "integrated_gradients", target=0, max_rows=64)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        explain(model, x, IntegratedGradients(steps), target=0, max_rows=64)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] <= 1.1 * peaks[0]


@pytest.mark.filterwarnings("ignore:The trainer has no logger")
@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_run_with_the_monitor_is_bit_for_bit_the_run_without_it(tmp_path, precision):
    """Weights, optimizer, and the random state of the GPU."""

    def trained(*callbacks):
        L.seed_everything(0)
        x, y = runs.images()
        module = runs.Module()
        trainer = L.Trainer(
            accelerator="gpu", devices=1, precision=precision, max_epochs=3, callbacks=list(callbacks), logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path,
        )  # fmt: skip
        trainer.fit(module, DataLoader(TensorDataset(x, y), 8, shuffle=True), DataLoader(TensorDataset(x, y), 8))
        optimizer = trainer.optimizers[0].state_dict()["state"]
        momentum = [held["momentum_buffer"] for held in optimizer.values()]
        return [*module.state_dict().values(), *momentum, torch.cuda.get_rng_state(), torch.get_rng_state()]

    monitor = AttributionMonitor(runs.probe())
    for a, b in zip(trained(), trained(monitor), strict=True):
        assert torch.equal(a.cpu(), b.cpu())
    assert monitor.report
