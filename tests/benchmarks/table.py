"""Numbers as markdown."""

HEADS = (
    "method",
    "rows",
    "seconds",
    "wall",
    "rows / s",
    "× limit",
    "Captum",
    "ahead",
    "tuned",
    "ahead",
    "most",
    "difference",
    "",
)


def markdown(heads, rows):
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"


def seconds(value):
    """Three digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def counted(rows):
    """Rows without and with a graph; through the first → through the last module where they differ."""
    stem, head = rows["stem"], rows["head"]
    parts = []
    for backward, word in ((0, "f"), (1, "fb")):
        a, b = stem[backward], head[backward]
        if a or b:
            parts.append(f"{a:,} {word}" if a == b else f"{a:,} → {b:,} {word}")
    return ", ".join(parts) or "-"


def at_best(record):
    """Captum's seconds at its best, and the size where that was."""
    return seconds(record["tuned"]) + (f" ({record['at']})" if record["at"] else "")


def ahead(theirs, mine):
    """How many times as long as ours theirs is."""
    return f"{theirs / mine:.2f} ×" if mine else "-"


def against(record):
    """The columns about Captum."""
    if "captum" not in record:
        return ["-"] * 5
    mine = record["seconds"]
    return [
        seconds(record["captum"]),
        ahead(record["captum"], mine),
        at_best(record),
        ahead(record["tuned"], mine),
        ahead(record["tuned"], record["limit"]),
    ]


def line(record):
    """One line of the table of a network."""
    ratio = f"{record['seconds'] / record['limit']:.2f}" if record["limit"] else "-"
    ours = [
        f"`{record['method']}`",
        counted(record["rows"]),
        seconds(record["seconds"]),
        seconds(record["wall"]),
        f"{sum(record['rows']['head']) / record['seconds']:,.0f}",
        ratio,
    ]
    return [*ours, *against(record), record["agrees"], record["note"]]


def methods(title, records):
    """The table of a network, below its title."""
    return f"### {title}\n\n" + markdown(HEADS, [line(record) for record in records])
