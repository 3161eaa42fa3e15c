"""What the demo shows in the terminal."""

from __future__ import annotations

from pathlib import Path
from shlex import join, quote

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lightning_explain.demo.model import DigitClassifier
from lightning_explain.demo.run import GATE, MOST_RELEVANCE, Name, Result, Validation, train

_TOLD: dict[Name, str] = {
    "shortcut": "the gray level of a patch in the corner tells the label",
    "honest": "the same patch, its gray level is random",
}


def show(out: Path, epochs: int, seed: int) -> bool:
    """Train both runs, and put them side by side.

    Args:
        out: Where TensorBoard's logs and the checkpoints go.
        epochs: Epochs of each run.
        seed: For everything that is random.

    Returns:
        Whether the gate refused the model that needs the patch, and let the other one through.
    """
    console = Console(highlight=False)
    shortcut, honest = _train_both(console, out, epochs, seed)
    told_apart = shortcut.checkpoint is None and honest.checkpoint is not None
    console.print("", comparison(shortcut, honest), sep="\n")
    console.print(_conclusion(shortcut, honest) if told_apart else "[bold]The gate did not tell the two apart.[/]")
    if honest.checkpoint is not None:
        _print_plain(console, f"\nThe honest checkpoint:\n  {honest.checkpoint}")
    _print_plain(
        console, f"\nSee what they look at:\n  tensorboard --logdir {quote(str(out))} --samples_per_plugin images=1000"
    )
    _print_plain(console, f"\nJudge the model that the shortcut run ended with:\n  {audit_command(out, 'shortcut')}")
    return told_apart


def audit_command(out: Path, name: Name) -> str:
    """The command that judges what a run without a gate would have left behind.

    Args:
        out: The demo's directory.
        name: Which run.

    Returns:
        The command, to be copied.
    """
    run, model = out / name, f"{DigitClassifier.__module__}:{DigitClassifier.__qualname__}"
    files = [str(run / "final.ckpt"), "--probe", str(run / "probe.pt")]
    return join(["lightning-explain", "audit", *files, "--model", model, "--gate", GATE])


def comparison(shortcut: Result, honest: Result) -> Table:
    """Put the numbers of the two runs side by side.

    Returns:
        The table.
    """
    both = (shortcut, honest)
    table = Table(caption="The relevance is relative to the patch's area: 1 is chance.")
    table.add_column("")
    for result in both:
        table.add_column(result.name, style="red" if result.checkpoint is None else "green", overflow="fold")
    table.add_row("validation accuracy", *(_percent(result.last.accuracy) for result in both))
    table.add_row("relevance in the patch", *(f"{result.last.relevance:.2f}" for result in both))
    table.add_row(f"gate: relevance <= {MOST_RELEVANCE:g}", *(_gate(result) for result in both))
    table.add_row("checkpoint", *(result.checkpoint.name if result.checkpoint else "none" for result in both))
    table.add_section()
    table.add_row("accuracy, patch moved", *(_percent(result.moved) for result in both))
    table.add_row("accuracy, patch random", *(_percent(result.redrawn) for result in both))
    table.add_section()
    table.add_row("seconds", *(f"{result.seconds:.0f}" for result in both))
    return table


def _train_both(console: Console, out: Path, epochs: int, seed: int) -> tuple[Result, Result]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        return (
            _train(progress, "shortcut", out, epochs, seed),
            _train(progress, "honest", out, epochs, seed),
        )


def _train(progress: Progress, name: Name, out: Path, epochs: int, seed: int) -> Result:
    progress.console.print(f"[bold]{name}[/]: {_TOLD[name]}")
    task = progress.add_task(name, total=1.0)
    return train(
        name,
        out,
        epochs,
        seed,
        on_step=lambda share: progress.update(task, completed=share),
        on_validation=lambda validation: progress.console.print(_line(validation)),
    )


def _line(validation: Validation) -> str:
    gate = "[green]open[/]" if validation.gate_open else "[red]closed[/]"
    return (
        f"  epoch {validation.epoch}   validation accuracy {_percent(validation.accuracy)}"
        f"   relevance in patch {validation.relevance:5.2f}   gate {gate}"
    )


def _conclusion(shortcut: Result, honest: Result) -> str:
    return (
        f"By validation accuracy the [red]shortcut[/] is fine: {_percent(shortcut.last.accuracy)}. Move the patch, and"
        f" it is {_percent(shortcut.moved)}. The gate refused it at every epoch, and kept the [green]honest[/] model,"
        f" which stays at {_percent(honest.moved)}."
    )


def _print_plain(console: Console, text: str) -> None:
    # Not wrapped, for paths and commands are to be copied.
    console.print(text, soft_wrap=True, markup=False)


def _gate(result: Result) -> str:
    times = sum(validation.gate_open for validation in result.validations)
    total = len(result.validations)
    return f"open at {times} of {total}" if times else f"closed at {total} of {total}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
