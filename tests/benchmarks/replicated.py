"""What a replica of the model brings to a whole call of ``explain``, and how far ahead of Captum that is.

Of methods that take more than one pass, a few of each kind and place; the others explain the model itself, whatever is
asked for. Making the replica and trying it is part of the call. All of Captum's settings run once; the best of them
takes turns with the model, its replica, and its replica in bfloat16.
"""

from functools import partial
from unittest import mock

from lightning_explain.attribution import engine
from lightning_explain.attribution.replication import replicated
from tests.benchmarks.cases import all_cases
from tests.benchmarks.clock import in_turns
from tests.benchmarks.measure import contestants, fastest, first, tuned
from tests.benchmarks.replica import REPLICAS
from tests.benchmarks.table import ahead, at_best, markdown, seconds

ITSELF, REFUSED = "the model itself", "refused"
METHODS = (
    "integrated_gradients",
    "gradient_shap",
    "smoothgrad of saliency",
    "deep_lift_shap",
    "feature_ablation",
    "feature_permutation",
    "occlusion",
    "shapley_sampling",
    "lime",
    "kernel_shap",
    "integrated_gradients@late",
    "conductance@late",
)
HEADS = (
    "method",
    *("seconds", "replica", "bfloat16"),
    *("tuned", "ahead", "replica ahead", "bfloat16 ahead"),
    *("replica off by", "bfloat16 off by"),
    "",
)


def cases(network):
    """The lines of a network's table."""
    return [case for case in all_cases(network) if case.name in METHODS]


def explained(work):
    """The attributions of some work, and what is explained instead of a replica, if that is so."""
    found = []

    def watched(problem, replica):
        asked, reason = replicated(problem, replica)
        found.append(f"{REFUSED}: {reason}" if reason else ITSELF if asked is problem else "")
        return asked

    with mock.patch.object(engine, "replicated_or_warn", watched):
        given = first(work())
    return given, (found or [ITSELF])[0]


def off_by(given, plain):
    """How far attributions are from those of the model, in norm."""
    return float((given.double() - plain.double()).norm() / plain.double().norm())


def measuring(network, patience):
    """What measures a line of this network's table."""
    return partial(measure, network, patience=patience)


def captum_at_best(network, case):
    """The fastest of Captum's settings, and its work, after a try of each; nothing if none can be done."""
    others = contestants(network, case, case.theirs, slow=False)
    once, _ = in_turns(others, patience=0, may_fail=others.keys())
    return {at: others[at] for at in once if at == fastest(once, others)}


def measure(network, case, patience):
    """One line of the table as numbers and words, which JSON can hold."""
    ours = {name: partial(case.ours, replica) for name, replica in REPLICAS.items()}
    given = {name: explained(work) for name, work in ours.items()}
    plain, _ = given["model"]
    theirs = captum_at_best(network, case)
    best, turns = in_turns(ours | theirs, patience)
    record = {
        "method": case.name,
        "note": case.note,
        "seconds": {name: best[name].counted for name in ours},
        "instead": {name: instead for name, (_, instead) in given.items()},
        "off": {name: off_by(values, plain) for name, (values, _) in given.items()},
        "turns": turns,
    }
    if not theirs:
        return record
    (at,) = theirs
    return record | tuned(at, best[at])


def spent(record, name):
    """Seconds with a replica, and what was explained if not that; why it was refused stands below the table."""
    instead, _, _ = record["instead"][name].partition(":")
    return seconds(record["seconds"][name]) + (f" ({instead})" if instead else "")


def line(record):
    """One line of the table."""
    mine, asked = record["seconds"], ("replica", "bfloat16")
    aheads = ["-"] * 4
    if "tuned" in record:
        aheads = [at_best(record), *(ahead(record["tuned"], mine[name]) for name in REPLICAS)]
    off = ["-" if record["instead"][name] else f"{record['off'][name]:.1e}" for name in asked]
    ours = [seconds(mine["model"]), *(spent(record, name) for name in asked)]
    return [f"`{record['method']}`", *ours, *aheads, *off, record["note"]]


def text(title, records):
    """The table of a network, below its title, and why replicas were refused, each reason once."""
    said = [f"{name} {instead}.\n" for record in records for name, instead in record["instead"].items()]
    reasons = dict.fromkeys(sentence for sentence in said if f" {REFUSED}:" in sentence)
    table = f"### {title}: with a replica and without\n\n" + markdown(HEADS, map(line, records))
    return "\n".join([table, *reasons])
