"""What attribution methods cost: against the limit of their rows, and against Captum.

Run: ``python -m tests.benchmarks.attribution [--network residual] [--method lime] [--out FOLDER]`` from the
repository's root. Prints; asserts nothing. With ``--out`` every line is kept as soon as it is measured, and a run that
was cut off goes on where it was. ``--network residual-replica`` is the table with a replica and without.

A row is one sample through the model. The limit of a method is its rows, counted at the first and at the last module,
times what a row costs at best on the bare, frozen model; that is measured over chunk sizes, and again in every turn.
Captum runs at its defaults, and at the best of some ``internal_batch_size`` or ``perturbations_per_eval`` with the
parameters frozen. All take turns in one process, and the best of the turns counts: of the processor with one thread.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path

import torch

from tests.benchmarks import claims, memory, replicated, table
from tests.benchmarks.cases import all_cases
from tests.benchmarks.measure import measuring
from tests.benchmarks.networks import NETWORKS

TABLES = {name: (name, all_cases, measuring, table.methods) for name in NETWORKS} | {
    f"{name}-replica": (name, replicated.cases, replicated.measuring, replicated.text) for name in NETWORKS
}
"""The network of a table, its lines, what measures one, and what writes them down."""

PARTS = (*TABLES, "claims", "memory")


class Kept:
    """Lines as they are measured: printed, and kept in a file where there is one."""

    def __init__(self, folder, part):
        self.path = None if folder is None else Path(folder) / f"{part}.jsonl"
        self.records = []
        if self.path is not None and self.path.exists():
            self.records = [json.loads(line) for line in self.path.read_text().splitlines()]

    def __contains__(self, name):
        return any(record["method"] == name for record in self.records)

    def add(self, record):
        self.records.append(record)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        print(json.dumps(record), file=sys.stderr, flush=True)


def wanted(name, chosen):
    """Whether a method is among those named on the command line."""
    return not chosen or any(part in name for part in chosen)


def run_network(part, arguments, kept):
    """Measure a table of a network, and give its text."""
    name, cases_of, measuring_on, text = TABLES[part]
    try:
        network = NETWORKS[name]().on(arguments.device)
    except ImportError as error:
        return f"Not measured: {error} (`pip install lightning-explain[benchmark]`).\n"
    cases = [case for case in cases_of(network) if wanted(case.name, arguments.method) and case.name not in kept]
    if cases:
        measured = measuring_on(network, arguments.patience)
        for case in cases:
            kept.add(measured(case))
    return text(network.title, kept.records)


def run_part(part, arguments, kept):
    """Measure one part, and give its text."""
    if part in TABLES:
        return run_network(part, arguments, kept)
    module = {"claims": claims, "memory": memory}[part]
    for name, work in module.lines().items():
        if wanted(name, arguments.method) and name not in kept:
            kept.add({"method": name} | work())
    return module.text(kept.records)


def machine(threads, device="cpu"):
    """One line about where this ran."""
    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, {machine(threads)}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    captum = importlib.metadata.version("captum")
    return (
        f"{processor or platform.machine()}, {os.cpu_count()} cores, {threads} thread(s), torch {torch.__version__},"
        f" Captum {captum}; load {os.getloadavg()[0]:.1f} at {time.strftime('%Y-%m-%d %H:%M')}."
    )


def parsed(arguments=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", nargs="*", choices=PARTS, default=PARTS, help="which tables; all, if left out")
    parser.add_argument("--method", nargs="*", help="methods whose names hold one of these; all, if left out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where the networks are; claims and memory are of the CPU")
    parser.add_argument("--patience", type=float, default=4.0, help="seconds for all the turns of one line, about")
    parser.add_argument("--out", help="a folder for the tables, and for what is needed to go on")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Print the tables."""
    arguments = parsed(arguments)
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    if arguments.out:
        Path(arguments.out).mkdir(parents=True, exist_ok=True)
    texts = [machine(arguments.threads, arguments.device)]
    print(texts[0], flush=True)
    for part in arguments.network or PARTS:
        texts.append(run_part(part, arguments, Kept(arguments.out, part)))
        print("\n" + texts[-1], flush=True)
        if arguments.out:
            (Path(arguments.out) / f"{part}.md").write_text(f"{texts[0]}\n\n{texts[-1]}")


if __name__ == "__main__":
    main()
