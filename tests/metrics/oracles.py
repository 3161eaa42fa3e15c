"""Other libraries as oracles: where they can be imported, and where they are sound."""

import importlib
import sys
import warnings

import numpy as np
import pytest


def oracle(name):
    """Import a library, or skip the test: what it imports may fail in ways of its own.

    Quantus imports zennit where that is installed, whose own imports may fail; it can do without.
    """
    known = {module: sys.modules[module] for module in ("zennit",) if module in sys.modules}
    sys.modules["zennit"] = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception as error:  # noqa: BLE001  (an oracle that cannot be imported is no oracle, whatever the reason)
        pytest.skip(f"{name} cannot be imported: {error!r}")
    finally:
        del sys.modules["zennit"]
        sys.modules.update(known)


def quantus_scores(metric, model, inputs, target, attribution):
    """What a metric of Quantus gives for each sample; the model, in evaluation mode, works in float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = metric(
            model=model.eval().float(),
            x_batch=inputs.float().numpy(),
            y_batch=target.numpy(),
            a_batch=attribution.float().numpy(),
            softmax=False,
            channel_first=True,
            device="cpu",
        )
    return np.asarray(found, dtype=float)
