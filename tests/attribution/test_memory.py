import subprocess
import sys

import pytest
import torch
from torch import nn

from lightning_explain.attribution import memory
from lightning_explain.attribution.memory import (
    Allocations,
    Footprint,
    RowSize,
    TooLargeError,
    Tripwire,
    available,
    uncounted,
)


def test_footprint_adds_up_what_operators_make_and_no_views():
    a = torch.zeros(10, 10)
    with Footprint() as footprint:
        b = a + 1
        b.T.reshape(100)[3:].view(97)
        b.add_(1)
        a @ b
    assert footprint.bytes == 3 * a.nbytes  # the sum, the copy that reshape makes, the product
    assert footprint.device == torch.device("cpu")


def test_footprint_sees_the_backward_pass():
    x = torch.zeros(50, requires_grad=True)
    with Footprint() as forward:
        y = (x * 2).relu()
    with Footprint() as backward:
        torch.autograd.grad(y.sum(), x)
    assert forward.bytes == 2 * x.nbytes
    assert backward.bytes >= 2 * x.nbytes


def test_available_memory_of_this_machine(monkeypatch, tmp_path):
    info = tmp_path / "meminfo"
    info.write_text("MemTotal:  100 kB\nMemAvailable:   42 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", info)
    assert available(torch.device("cpu")) == 42 * 1024
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "nowhere")
    assert available(torch.device("cpu")) is None
    assert available(torch.device("meta")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_available_memory_of_a_gpu():
    assert 0 < available(torch.device("cuda")) <= torch.cuda.get_device_properties(0).total_memory


def test_a_block_is_stopped_at_its_limit():
    a = torch.zeros(10)
    with pytest.raises(TooLargeError, match="more than the 100 bytes"), Footprint(100):
        [a + i for i in range(3)]
    with Footprint(120) as footprint:
        [a + i for i in range(3)]
    assert footprint.bytes == 120


def test_a_tripwire_stops_a_forward_pass_however_its_functions_are_called():
    x = torch.zeros(10)
    with pytest.raises(TooLargeError, match="more than the 100 bytes"), Tripwire(100):
        torch.relu(nn.functional.gelu(x.exp()))
    with Tripwire(120) as wire:
        torch.relu(nn.functional.gelu(x.exp()))
    assert wire.bytes == 120


def test_rows_are_guessed_from_the_widest_parameter():
    model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2))
    size = RowSize.of(model, (torch.zeros(3, 5), torch.zeros(3, 2, 2)))
    assert size.step == (5 + 2) * 7 * 4  # two positions of two channels
    with Footprint() as footprint:
        model(torch.zeros(3, 5, requires_grad=True)).sum().backward()
    assert footprint.bytes < 3 * size.total


def test_an_empty_model_has_rows_too():
    assert RowSize.of(nn.ReLU(), (torch.zeros(3, 5),)).step == 5 * 4


def test_weighing_does_not_load_the_compiler() -> None:
    script = (
        "import sys, torch\n"
        "from torch import nn\n"
        "from lightning_explain.attribution.memory import Footprint\n"
        "with Footprint() as footprint:\n"
        "    nn.Linear(3, 2)(torch.ones(4, 3))\n"
        "assert footprint.bytes\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def counters(values):
    """What the allocator of a GPU counts, each time that it is asked."""
    given = iter(values)
    return lambda device: {"allocated_bytes": {"all": {"allocated": next(given)}}}


def test_what_a_gpu_allocates_in_a_block_is_counted_without_other_works(monkeypatch):
    # At the beginning; where other work begins, twice; where it ends; at the end, twice.
    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", counters([100, 140, 140, 1000, 1002, 1002]))
    with Allocations(torch.device("cuda")) as taken, uncounted():
        assert taken.paused
    assert taken.bytes == 40 + 2


def test_a_gpu_that_counts_nothing_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda device: {})
    with Allocations(torch.device("cuda")) as taken:
        pass
    assert taken.bytes == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_what_is_freed_counts_too_on_a_gpu():
    device = torch.device("cuda")
    with Allocations(device) as taken:
        for _ in range(3):
            torch.zeros(1024, device=device)
    assert taken.bytes == 3 * 4096
