"""What scores are called, in logs, reports and gates."""

from __future__ import annotations

from collections.abc import Iterable


def class_name(score: str, label: int) -> str:
    """What a score of one class's samples is called.

    Returns:
        ``<score>/class_<label>``.

    Example:
        >>> class_name("attribution/saliency/srg", 3)
        'attribution/saliency/srg/class_3'
    """
    return f"{score}/class_{label}"


def random_lines(prefix: str, scored: Iterable[tuple[str, str, str]], classes: Iterable[int] = ()) -> dict[str, str]:
    """The random line of every score that has one: random attributions of the same samples, where its own live.

    Args:
        prefix: What the names begin with.
        scored: Of each such score the method's name, the space where its maps live, and the metric's name.
        classes: The class labels that have scores of their own; their lines are those of the same class.

    Returns:
        ``prefix/random[@layer]/metric[/class_<label>]`` by the score's name.

    Example:
        >>> random_lines("a", [("saliency", "", "srg"), ("saliency@conv", "@conv", "srg")])
        {'a/saliency/srg': 'a/random/srg', 'a/saliency@conv/srg': 'a/random@conv/srg'}
    """
    lines = {f"{prefix}/{method}/{metric}": f"{prefix}/random{space}/{metric}" for method, space, metric in scored}
    return lines | {class_name(score, c): class_name(line, c) for score, line in lines.items() for c in classes}
