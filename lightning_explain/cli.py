"""The command ``lightning-explain``. What takes long to import is imported by the command that needs it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lightning_explain import __version__

_DEMO_EXTRA = ("mlxtend", "rich")
_AUDIT_EPILOG = """\
exit status:
  0  the gate is open
  1  the gate is closed
  2  the gate was not judged: wrong arguments or files, a gate that asks for what only a run
     knows, or a crash of the model

example:
  lightning-explain audit last.ckpt --probe probe.pt --model my_package.model:Classifier \\
      --gate 'lower(attribution/integrated_gradients/srg) > random'
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; None: those of the process.

    Returns:
        The exit status: 0, or 1 if the demo did not show what it is there to show, or a gate is closed; 2 if a gate
        could not be judged. Wrong arguments leave with status 2.
    """
    parser = argparse.ArgumentParser(
        prog="lightning-explain",
        description="Watch what a PyTorch Lightning model looks at while it trains, and gate its checkpoints on it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    _add_demo(commands)
    _add_audit(commands)
    arguments = parser.parse_args(argv)
    return int(arguments.run(arguments))


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="train a network with and without a shortcut, about a minute on two cores",
        description="Train a small network on handwritten digits twice: with a patch in the corner whose gray level"
        " tells the label, and with the same patch at random. A gate on the relevance in the patch refuses the"
        " checkpoint of the first and writes that of the second.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="where TensorBoard's logs go")
    demo.add_argument("--epochs", type=_Whole(1), default=6, metavar="N", help="epochs of each training run")
    demo.add_argument(
        "--seed", type=_Whole(0, 2**32 - 1), default=0, metavar="N", help="the same seed gives the same numbers"
    )
    demo.add_argument("--overwrite", action="store_true", help="replace what an earlier demo wrote to DIR")
    demo.set_defaults(run=lambda arguments: _demo(demo, arguments))


def _demo(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    missing = [name for name in _DEMO_EXTRA if find_spec(name) is None]
    if missing:
        parser.error(f"the demo needs {' and '.join(missing)}: pip install 'lightning-explain[demo]'")

    from lightning_explain.demo.directory import claim

    try:
        claim(arguments.out, arguments.overwrite)
    except OSError as error:
        parser.error(str(error))

    # Threads of torch that wait for each other without giving the core away: three times slower beside other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    from lightning_explain.demo.show import show

    return 0 if show(arguments.out, arguments.epochs, arguments.seed) else 1


def _add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    audit = commands.add_parser(
        "audit",
        help="judge a finished checkpoint by a gate; exits with status 1 if it is closed",
        description="Explain a probe set with the model of a checkpoint, score the explanations, and judge them\n"
        "by a gate, as AttributionCheckpoint does in a run. Methods and metrics are those that the gate\nnames.",
        epilog=_AUDIT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    audit.add_argument("checkpoint", type=Path, metavar="CKPT", help="a checkpoint that Lightning wrote")
    audit.add_argument(
        "--probe", required=True, metavar="FILE|MODULE:FUNCTION", help="what ProbeSet.save wrote, or what makes one"
    )
    audit.add_argument(
        "--gate",
        required=True,
        action="append",
        metavar="GATE",
        help="such as 'lower(attribution/saliency/srg) > random'; all must hold if given several times",
    )
    _add_audit_options(audit)
    audit.set_defaults(run=lambda arguments: _audit(audit, arguments))


def _add_audit_options(audit: argparse.ArgumentParser) -> None:
    audit.add_argument(
        "--model",
        metavar="MODULE:CLASS",
        help="the LightningModule's class, or a function that makes an untrained one; MODULE is imported, also from the"
        " current folder",
    )
    audit.add_argument(
        "--trust",
        action="store_true",
        help="import the class that the file names, and unpickle all it holds; either may run code: for your own files",
    )
    audit.add_argument("--name", help="what the scores begin with: the name of the run's AttributionMonitor")
    audit.add_argument("--seed", type=_Whole(0), metavar="N", help="of all that is random; default: that of the run")
    audit.add_argument(
        "--max-rows", type=_Whole(1), metavar="N", help="rows through the model at once; default: that of the run"
    )
    audit.add_argument("--json", action="store_true", help="print verdict, scores, settings and warnings as JSON")


def _audit(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    # Status 1 says that the gate is closed: whatever keeps it from being judged is 2, also a crash of the model.
    sys.path.insert(0, str(Path.cwd()))  # where users keep the module that defines the model
    try:
        with redirect_stdout(sys.stderr):  # what the user's modules print is none of the answer
            is_open, text = _audited(arguments)
        _print(text)
    except (TypeError, ValueError, OSError) as error:
        return _failed(parser, str(error))
    except (Exception, SystemExit) as error:  # noqa: BLE001  (the user's modules can raise anything, and leave)
        traceback.print_exc()
        return _failed(parser, f"the audit crashed before the gate was judged ({type(error).__name__}: {error})")
    return 0 if is_open else 1


def _audited(arguments: argparse.Namespace) -> tuple[bool, str]:
    from lightning_explain.auditing.audit import audit
    from lightning_explain.auditing.saved import load_checkpoint, load_probe
    from lightning_explain.auditing.table import table
    from lightning_explain.gate import Gate

    gate = Gate.parse(arguments.gate)
    probe = load_probe(arguments.probe)
    kept = load_checkpoint(arguments.checkpoint, arguments.model, trust=arguments.trust)
    name = kept.monitor_of(gate, arguments.name)
    run = kept.settings_of(name)
    seed = run.seed if arguments.seed is None else arguments.seed
    rows = arguments.max_rows or run.max_rows
    found = audit(
        kept.model, probe, arguments.gate, name=name, max_rows=rows, seed=seed, step=kept.step, history=kept.history
    )
    warnings = list(kept.differences(name, probe, found.settings))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201
    told = {**found.to_dict(), "warnings": warnings}
    text = json.dumps(told, indent=2, allow_nan=False) if arguments.json else table(found)
    return found.verdict.open, text


def _print(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    # A terminal or a pipe without "±" is no reason to fail.
    print(text.encode(encoding, errors="replace").decode(encoding), flush=True)  # noqa: T201


def _failed(parser: argparse.ArgumentParser, message: str) -> int:
    # Without the usage: it is not the arguments' form that is wrong.
    print(f"{parser.prog}: error: {message}", file=sys.stderr)  # noqa: T201
    return 2


@dataclass(frozen=True)
class _Whole:
    """Reads a whole number within bounds."""

    least: int
    most: int | None = None

    def __call__(self, text: str) -> int:
        number = int(text) if text.removeprefix("-").isdecimal() else None
        if number is None or number < self.least or (self.most is not None and number > self.most):
            most = "up" if self.most is None else f"to {self.most}"
            raise argparse.ArgumentTypeError(f"expected a whole number from {self.least} {most}, got {text!r}")
        return number
