"""Quantus, where its metrics are sound, and where they are not."""

import sys
import warnings

import numpy as np
import pytest


def quantus_or_skip():
    """Quantus, without the optional zennit, whose own imports may fail; skips where it cannot be imported."""
    known = {name: sys.modules[name] for name in ("zennit",) if name in sys.modules}
    sys.modules["zennit"] = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import quantus
    except Exception as error:  # noqa: BLE001  (an oracle that cannot be imported is no oracle, whatever the reason)
        pytest.skip(f"Quantus cannot be imported: {error!r}")
    finally:
        del sys.modules["zennit"]
        sys.modules.update(known)
    return quantus


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
