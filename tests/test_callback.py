"""The monitor in real training runs."""

import copy
import math
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import lightning as L
import pytest
import runs
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader

from lightning_explain import AttributionMonitor, GradCAM, IntegratedGradients, Layer, Neuron, ProbeSet
from lightning_explain.metrics.ranks import map_similarity

QUICK = {"methods": ["saliency"], "metrics": ["srg", "relevance_mass"]}

pytestmark = pytest.mark.filterwarnings("ignore:The trainer has no logger")


def monitor(**settings):
    return AttributionMonitor(settings.pop("probe", None) or runs.probe(), **(QUICK | settings))


def events(tmp_path):
    folder = next(tmp_path.rglob("events.out*")).parent
    return EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0}).Reload()


def steps(accumulator, tag, kind="Scalars"):
    return [event.step for event in getattr(accumulator, kind)(tag)]


class Steps(L.Callback):
    def __init__(self):
        self.scores = []

    def on_validation_end(self, trainer, pl_module):
        self.scores.append({k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("attribution/")})


class LogsStep(runs.Module):
    """Chooses its own step axis, as Lightning allows."""

    def on_validation_epoch_end(self):
        self.log("step", float(self.current_epoch * 100))


class Still(runs.Frozen):
    """Does not learn anything: no step, no statistics."""

    def __init__(self):
        super().__init__()
        self.lr = 0.0


class TestScalarsAndPictures:
    @pytest.mark.parametrize(
        ("settings", "expected"),
        [
            ({}, [5, 11, 17]),
            ({"val_check_interval": 2, "accumulate_grad_batches": 3, "max_epochs": 1}, [0, 1, 1]),
            ({"val_check_interval": 3, "max_epochs": 2}, [2, 5, 8, 11]),
            ({"module": runs.Manual}, [5, 11, 17]),
            ({"check_val_every_n_epoch": 2, "max_epochs": 4}, [11, 23]),
            ({"module": LogsStep}, [0, 100, 200]),
        ],
    )
    def test_pictures_and_scores_stand_at_the_steps_of_the_validation_curves(self, tmp_path, settings, expected):
        runs.fit(tmp_path, monitor(), logger=TensorBoardLogger(tmp_path), **settings)
        logged = events(tmp_path)
        assert steps(logged, "val_loss") == expected
        for tag in ("attribution/saliency/srg", "attribution/random/srg", "attribution/seconds"):
            assert steps(logged, tag) == expected
        # TensorBoard keeps one picture for each step of a tag.
        for tag in ("attribution/sample_0", "attribution/contact_sheet/saliency"):
            assert sorted(set(steps(logged, tag, "Images"))) == sorted(set(expected))

    def test_every_name_that_was_announced_is_logged_and_nothing_else(self, tmp_path):
        seen = Steps()
        chosen = AttributionMonitor(runs.probe(), methods=["integrated_gradients", "grad_cam@net.conv1"])
        run, module = runs.fit(tmp_path, chosen, seen)
        announced = set(chosen.score_names(run, module))
        assert announced == set(seen.scores[-1]) - {"attribution/seconds", "attribution/time_share"}
        assert "attribution/integrated_gradients/completeness_gap" in announced
        assert "attribution/grad_cam@net.conv1/completeness_gap" not in announced
        assert "attribution/random/infidelity" in announced
        assert all(math.isfinite(value) for value in seen.scores[0].values())

    def test_pictures_of_the_first_samples_only(self, tmp_path):
        runs.fit(tmp_path, monitor(max_pictures=2), logger=TensorBoardLogger(tmp_path))
        tags = events(tmp_path).Tags()["images"]
        assert tags == ["attribution/sample_0", "attribution/sample_1", "attribution/contact_sheet/saliency"]

    def test_no_pictures(self, tmp_path):
        runs.fit(tmp_path, monitor(max_pictures=0), logger=TensorBoardLogger(tmp_path))
        assert events(tmp_path).Tags()["images"] == []

    def test_nothing_is_written_or_run_in_the_sanity_check(self, tmp_path):
        chosen = monitor()
        calls = []
        chosen._suite.run = lambda *args: calls.append(args)
        run = runs.trainer(tmp_path, chosen, num_sanity_val_steps=2, limit_train_batches=0, max_epochs=1)
        run.fit(runs.Module(), *runs.loaders())
        assert calls == []
        assert chosen.validations == 0

    def test_seconds_and_share_are_logged(self, tmp_path):
        run, _ = runs.fit(tmp_path, monitor())
        assert 0 < float(run.callback_metrics["attribution/time_share"]) < 1
        assert float(run.callback_metrics["attribution/seconds"]) > 0

    def test_color_scale_is_fixed_by_the_first_validation_and_saved(self, tmp_path):
        chosen = monitor()
        scales = []

        class Watch(L.Callback):
            def on_validation_end(self, trainer, pl_module):
                scales.append(dict(chosen._gallery.scales))

        run, _ = runs.fit(tmp_path, chosen, Watch(), logger=TensorBoardLogger(tmp_path))
        assert scales[1] == scales[2] == scales[3] != {}
        checkpoint = {}
        chosen.on_save_checkpoint(run, None, checkpoint)
        assert checkpoint["lightning_explain"]["attribution"]["scales"] == scales[1]

    def test_prog_bar(self, tmp_path):
        run, _ = runs.fit(tmp_path, monitor(prog_bar=["saliency/srg"]))
        shown = [name for name in run.progress_bar_metrics if name.startswith("attribution/")]
        assert shown == ["attribution/saliency/srg"]


class TestWhen:
    @pytest.mark.parametrize("every", [1, 2, 3])
    @pytest.mark.parametrize("cadence", [{}, {"check_val_every_n_epoch": 2}, {"val_check_interval": 3}])
    def test_every_n_validations_counts_validations(self, tmp_path, every, cadence):
        chosen = monitor(every_n_validations=every)
        seen = []

        class Watch(L.Callback):
            def on_validation_end(self, trainer, pl_module):
                if not trainer.sanity_checking:
                    seen.append(chosen.report is not None and chosen.report.validation == chosen.validations)

        runs.fit(tmp_path, chosen, Watch(), max_epochs=6, **cadence)
        assert seen == [i % every == 0 for i in range(len(seen))]
        assert len(seen) == {"check_val_every_n_epoch": 3, "val_check_interval": 12}.get(next(iter(cadence), ""), 6)

    @pytest.mark.parametrize("entry", ["validate", "test"])
    def test_validate_and_test(self, tmp_path, entry):
        chosen = AttributionMonitor(runs.probe(), methods=["integrated_gradients", "grad_cam", "smoothgrad"])
        run = runs.trainer(tmp_path, chosen, logger=TensorBoardLogger(tmp_path))
        getattr(run, entry)(runs.Module(), runs.loaders()[1], verbose=False)
        assert run.callback_metrics["attribution/integrated_gradients/srg"].isfinite()
        assert math.isnan(run.callback_metrics["attribution/integrated_gradients/drift"])
        assert steps(events(tmp_path), "attribution/sample_0", "Images") == [0]
        assert chosen.validations == 0

    def test_fast_dev_run(self, tmp_path):
        chosen = monitor()
        runs.fit(tmp_path, chosen, fast_dev_run=True)
        assert chosen.report is not None

    def test_no_validation_at_all(self, tmp_path):
        chosen = monitor(metrics=["drift"])
        with pytest.warns(UserWarning, match="has no validation, so AttributionMonitor never explains"):
            runs.fit(tmp_path, chosen, limit_val_batches=0)
        assert chosen.report is None

    def test_second_fit_of_the_same_objects(self, tmp_path):
        chosen = monitor()
        run, module = runs.fit(tmp_path, chosen)
        run.fit_loop.max_epochs = 5
        run.fit(module, *runs.loaders())
        assert chosen.validations == 5  # the same trainer goes on

    def test_drift_of_the_first_validation_is_measured_from_the_start_of_the_fit(self, tmp_path):
        seen = Steps()
        runs.fit(tmp_path, monitor(metrics=["drift"]), seen, module=Still, max_epochs=2)
        moving = Steps()
        runs.fit(tmp_path, monitor(metrics=["drift"]), moving, max_epochs=2)
        assert moving.scores[1]["attribution/saliency/drift"] > 0.01
        assert seen.scores[1]["attribution/saliency/drift"] == pytest.approx(0, abs=1e-9)


class TestOtherCallbacks:
    def test_checkpoints_and_early_stopping_see_scores(self, tmp_path):
        score = "attribution/saliency/relevance_mass"
        keep = ModelCheckpoint(tmp_path / "kept", monitor=score, mode="max", save_top_k=2)
        stop = EarlyStopping("attribution/saliency/srg", mode="min", patience=50)
        runs.fit(tmp_path, monitor(), keep, stop, enable_checkpointing=True)
        assert len(set(keep.best_k_models.values())) == 2
        assert stop.best_score.isfinite()

    def test_callbacks_find_the_score_also_where_only_some_validations_are_explained(self, tmp_path):
        keep = ModelCheckpoint(tmp_path / "kept", monitor="attribution/saliency/srg", mode="max")
        stop = EarlyStopping("attribution/saliency/srg", mode="max", patience=50)
        run, _ = runs.fit(tmp_path, monitor(every_n_validations=2), keep, stop, enable_checkpointing=True)
        assert run.current_epoch == 3
        assert keep.best_model_path

    def test_resume_continues_the_count_and_the_scales(self, tmp_path):
        runs.fit(tmp_path, monitor(), ModelCheckpoint(tmp_path), enable_checkpointing=True, max_epochs=2)
        saved = next(tmp_path.glob("*.ckpt"))
        state = torch.load(saved, weights_only=True)["lightning_explain"]["attribution"]
        assert state["probe"] == runs.probe().identity
        assert len(pickle.dumps(state)) < 10_000
        chosen = monitor()
        run = runs.trainer(tmp_path, chosen, ModelCheckpoint(tmp_path), enable_checkpointing=True, max_epochs=3)
        run.fit(runs.Module(), *runs.loaders(), ckpt_path=saved)
        assert chosen.validations == 3

    def test_resume_with_another_probe_set_warns(self, tmp_path):
        runs.fit(tmp_path, monitor(), ModelCheckpoint(tmp_path), enable_checkpointing=True, max_epochs=1)
        settings = {"enable_checkpointing": True, "max_epochs": 2}
        run = runs.trainer(tmp_path, monitor(probe=runs.probe(5)), ModelCheckpoint(tmp_path), **settings)
        with pytest.warns(UserWarning, match="resumed with another probe set"):
            run.fit(runs.Module(), *runs.loaders(), ckpt_path=next(tmp_path.glob("*.ckpt")))

    def test_two_monitors_with_their_own_names(self, tmp_path):
        run, _ = runs.fit(tmp_path, monitor(), monitor(name="artefacts", probe=runs.probe(region="artefact")))
        assert {"attribution/saliency/srg", "artefacts/saliency/srg"} <= set(run.callback_metrics)


class TestLoggers:
    def test_without_a_logger_scores_work_and_one_warning_is_given(self, tmp_path):
        with pytest.warns(UserWarning, match="no logger") as caught:
            run, _ = runs.fit(tmp_path, monitor())
        assert len([w for w in caught if "no logger" in str(w.message)]) == 1
        assert run.callback_metrics["attribution/saliency/srg"].isfinite()

    def test_a_logger_without_pictures_gets_scores_and_one_warning(self, tmp_path):
        with pytest.warns(UserWarning, match="CSVLogger cannot show pictures") as caught:
            runs.fit(tmp_path, monitor(), logger=CSVLogger(tmp_path))
        assert len([w for w in caught if "cannot show pictures" in str(w.message)]) == 1
        assert "attribution/saliency/srg" in next(tmp_path.rglob("metrics.csv")).read_text()


@pytest.mark.filterwarnings("ignore:.*skips this validation")
class TestErrors:
    def failing(self, **settings):
        chosen = monitor(**settings)
        chosen._suite.run = lambda *args: (_ for _ in ()).throw(ArithmeticError("planted"))
        return chosen

    def test_raise(self, tmp_path):
        with pytest.raises(ArithmeticError, match="planted"):
            runs.fit(tmp_path, self.failing())

    def test_warn_logs_nan_and_goes_on(self, tmp_path):
        chosen = self.failing(on_error="warn")
        with pytest.warns(UserWarning, match="ArithmeticError: planted"):
            run, _ = runs.fit(tmp_path, chosen, EarlyStopping("val_loss"))
        assert run.current_epoch == 3
        assert math.isnan(run.callback_metrics["attribution/saliency/srg"])
        assert chosen.report is None

    def test_keyboard_interrupt_is_not_swallowed(self, tmp_path):
        chosen = monitor(on_error="warn")
        chosen._suite.run = lambda *args: (_ for _ in ()).throw(KeyboardInterrupt())
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            runs.fit(tmp_path, chosen)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"methods": ["integrated_gradient"]}, "Did you mean 'integrated_gradients'"),
            ({"methods": []}, "at least one method"),
            ({"methods": [3]}, "A method is a name or a Method"),
            ({"methods": "saliency"}, r"methods is a list of names, got 'saliency'; write \['saliency'\]"),
            ({"methods": "saliency", "metrics": None}, "methods is a list of names"),
            ({"metrics": "srg"}, "metrics is a list of names"),
            ({"metrics": ["deletion"]}, "No metric 'deletion'. Did you mean 'deletion_auc'"),
            ({"metrics": ["srg", "srg"]}, "can be there once"),
            ({"probe": runs.probe(mask=None), "metrics": ["relevance_mass"]}, "needs a mask"),
            ({"every_n_validations": 0}, "at least 1, got 0"),
            ({"on_error": "ignore"}, "'raise' or 'warn', got 'ignore'"),
            ({"name": "a/b"}, "without '/'"),
            ({"max_pictures": -1}, "must not be negative"),
            ({"replica": "bfloat16"}, "replica is True, False or a type such as torch.bfloat16, got 'bfloat16'"),
        ],
    )
    def test_at_construction(self, settings, message):
        with pytest.raises(MisconfigurationException, match=message):
            monitor(**settings)

    def test_probe_of_another_type(self):
        with pytest.raises(MisconfigurationException, match="must be a ProbeSet, got Tensor; see ProbeSet"):
            AttributionMonitor(torch.zeros(3, 1, 8, 8))

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"methods": ["grad_cam@net.conv3"]}, "No layer 'net.conv3'. Did you mean 'net.conv"),
            ({"methods": [GradCAM("net.head")]}, r"Grad-CAM needs a layer whose output is \(n, channels"),
            ({"methods": [("saliency", Layer("net.spare"))]}, "never reached"),
            ({"methods": [("saliency", Neuron("net.conv1", (9, 0, 0)))]}, "does not fit layer 'net.conv1'"),
            ({"methods": ["saliency", "saliency"]}, "once"),
            ({"probe": runs.probe(target=7)}, "Target .7. of sample 0 is out of range"),
            ({"probe": runs.probe(label=torch.tensor([0, 1, 2, 0, 1, 3]))}, "Target .3. of sample 5 is out of range"),
            ({"probe": runs.probe(target="output")}, "one number per sample"),
            ({"metrics": ["completeness_gap"]}, "applies to no method: saliency is not complete"),
            ({"prog_bar": ["saliency/sgr"]}, "prog_bar names no score"),
        ],
    )
    def test_in_setup(self, tmp_path, settings, message):
        class Spare(runs.Module):
            def __init__(self):
                super().__init__()
                self.net.spare = nn.Linear(2, 2)

        with pytest.raises(MisconfigurationException, match=message):
            runs.fit(tmp_path, monitor(**settings), module=Spare)

    def test_two_monitors_with_one_name(self, tmp_path):
        with pytest.raises(MisconfigurationException, match="2 AttributionMonitors are called 'attribution'"):
            runs.fit(tmp_path, monitor(), monitor(metrics=["drift"]))

    def test_model_that_is_not_differentiable(self, tmp_path):
        class Rounding(runs.Module):
            def forward(self, x):
                return self.net((x * 4).round().detach())

        with pytest.raises(MisconfigurationException, match=r"does not depend differentiably on input"):
            runs.fit(tmp_path, monitor(), module=Rounding)

    def test_a_probe_that_the_model_cannot_take(self, tmp_path):
        probe = ProbeSet.from_tensors(torch.rand(3, 5, 8, 8), label=torch.arange(3))
        with pytest.raises(MisconfigurationException, match=r"cannot be run on the probe set, .* \[\(3, 5, 8, 8\)\]"):
            runs.fit(tmp_path, monitor(probe=probe, metrics=["srg"]))

    def test_nothing_is_asked_of_a_run_that_only_predicts(self, tmp_path):
        run = runs.trainer(tmp_path, monitor(methods=["grad_cam@nowhere"]))
        assert run.predict(runs.Module(), runs.loaders()[1]) is not None

    def test_integer_inputs(self, tmp_path):
        with pytest.raises(MisconfigurationException, match=r"int64 values.*place=Layer"):
            tokens(tmp_path, ["saliency"])

    def test_integer_inputs_without_a_baseline(self, tmp_path):
        with pytest.raises(MisconfigurationException, match="no name says which id stands for nothing"):
            tokens(tmp_path, [("integrated_gradients", Layer("embedding", channel_dim=-1))])

    def test_sharded_parameters(self, tmp_path):
        class FSDPStrategy(L.pytorch.strategies.SingleDeviceStrategy):
            pass

        with pytest.raises(MisconfigurationException, match="FSDPStrategy shards them"):
            runs.fit(tmp_path, monitor(), strategy=FSDPStrategy("cpu"), accelerator="auto")


class Tokens(runs.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.head = nn.Linear(6, runs.CLASSES)

    def forward(self, ids):
        return self.head(torch.tanh(self.embedding(ids)).mean(dim=1))


def tokens(tmp_path, methods, **fields):
    ids = torch.arange(120).reshape(24, 5) % 11
    data = torch.utils.data.TensorDataset(ids, torch.arange(24) % runs.CLASSES)
    chosen = AttributionMonitor(ProbeSet.from_dataset(data, size=6, **fields), methods=methods)
    run = runs.trainer(tmp_path, chosen, logger=TensorBoardLogger(tmp_path))
    run.fit(Tokens(), DataLoader(data, 4), DataLoader(data, 4))
    return run, chosen


class TestOtherData:
    def test_tokens_are_explained_at_their_embedding(self, tmp_path):
        place = Layer("embedding", channel_dim=-1)
        run, chosen = tokens(tmp_path, [("integrated_gradients", place), "occlusion"], baseline=0)
        assert run.callback_metrics["attribution/integrated_gradients@embedding/srg"].isfinite()
        assert run.callback_metrics["attribution/random@embedding/srg"].isfinite()
        assert "attribution/occlusion/srg" in chosen.report.scores
        assert "attribution/sample_0" in events(tmp_path).Tags()["images"]

    @pytest.mark.parametrize("shape", [(5,), (2, 16)])
    def test_tables_and_series(self, tmp_path, shape):
        x = torch.randn(24, *shape)
        data = torch.utils.data.TensorDataset(x, (x.flatten(1).sum(1) > 0).long())

        class Flat(runs.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 8), nn.Tanh(), nn.Linear(8, 2))

        chosen = AttributionMonitor(ProbeSet.from_dataset(data, 8))
        run = runs.trainer(tmp_path, chosen, logger=TensorBoardLogger(tmp_path))
        run.fit(Flat(), DataLoader(data, 4), DataLoader(data, 8))
        assert run.callback_metrics["attribution/input_x_gradient/srg"].isfinite()
        assert "attribution/sample_0" in events(tmp_path).Tags()["images"]

    def test_dict_inputs_regression_and_a_forward_of_ones_own(self, tmp_path):
        class Regression(runs.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Linear(5, 1)

            def forward(self, batch):
                return {"score": self.net(torch.cat([batch["a"], batch["b"]], dim=1))[:, 0]}

            def loss(self, batch):
                return (self(batch)["score"] - batch["y"]).square().mean()

            def validation_step(self, batch, _):
                self.log("val_loss", self.loss(batch))

        items = [{"a": torch.randn(2), "b": torch.randn(3), "y": torch.randn(())} for _ in range(12)]
        chosen = AttributionMonitor(
            ProbeSet.from_dataset(items, size=4), methods=["integrated_gradients"], forward=score_of
        )
        run = runs.trainer(tmp_path, chosen, logger=TensorBoardLogger(tmp_path))
        run.fit(Regression(), DataLoader(items, 4), DataLoader(items, 4))
        assert chosen.probe.target == "output"
        assert run.callback_metrics["attribution/integrated_gradients/completeness_gap"] < 1e-4


def score_of(model, inputs):
    return model(inputs)["score"]


class TestNothingIsKept:
    def test_no_graph_and_no_activation_survives(self, tmp_path):
        alive = []

        @torch.no_grad()
        def remember(module, args, out):
            alive.append(weakref.ref(out))

        class Watched(runs.Module):
            def __init__(self):
                super().__init__()
                self.net.conv1.register_forward_hook(remember)

        chosen = AttributionMonitor(runs.probe(), methods=["integrated_gradients", "grad_cam"])
        runs.fit(tmp_path, chosen, module=Watched)
        assert len(alive) > 50
        assert not [ref for ref in alive if ref() is not None]
        assert not any(maps.requires_grad for maps in chosen._previous.values())

    def test_pickle_and_deepcopy(self, tmp_path):
        chosen = monitor(methods=["saliency", GradCAM("net.conv1"), IntegratedGradients(4)], metrics=None)
        for twin in (pickle.loads(pickle.dumps(chosen)), copy.deepcopy(chosen)):
            run, _ = runs.fit(tmp_path, twin)
            assert run.callback_metrics["attribution/grad_cam@net.conv1/srg"].isfinite()

    def test_scores_are_reproducible_to_the_bit_with_fixed_chunks(self, tmp_path):
        a, b = monitor(max_rows=16, metrics=None), monitor(max_rows=16, metrics=None)
        runs.fit(tmp_path, a)
        runs.fit(tmp_path, b)
        assert {k: s.per_sample for k, s in a.report.scores.items() if not s.undefined} == {
            k: s.per_sample for k, s in b.report.scores.items() if not s.undefined
        }


def test_two_processes_agree_and_fail_together():
    script = Path(__file__).parent / "two_processes.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "both processes agree" in done.stdout
    assert "both processes failed" in done.stdout


class Scripted(runs.Module):
    """Logs an accuracy that is known beforehand."""

    accuracies = (0.5, 0.9, 0.7, 0.8)

    def validation_step(self, batch, _):
        self.log("val_acc", self.accuracies[self.current_epoch])


class Maps(L.Callback):
    """Keeps what the monitor compares with."""

    def __init__(self, watched):
        self.watched, self.drifts, self.maps = watched, [], []

    def on_validation_end(self, trainer, pl_module):
        if trainer.sanity_checking:
            return
        self.drifts.append(float(trainer.callback_metrics["attribution/saliency/drift_from_best"]))
        self.maps.append(self.watched._previous["saliency"].clone())


class TestTheBestValidation:
    @pytest.mark.parametrize("given", [True, False])
    def test_drift_is_measured_from_the_best_validation_before(self, tmp_path, given):
        watched = monitor(metrics=["drift_from_best"], best=("val_acc", "max") if given else None)
        kept = Maps(watched)
        saving = [] if given else [ModelCheckpoint(monitor="val_acc", mode="max")]
        settings = {"module": Scripted, "max_epochs": 4}
        runs.fit(tmp_path, watched, kept, *saving, enable_checkpointing=not given, **settings)
        assert math.isnan(kept.drifts[0])
        for epoch, best in ((1, 0), (2, 1), (3, 1)):
            expected = 1 - map_similarity(kept.maps[epoch], kept.maps[best]).mean()
            assert kept.drifts[epoch] == pytest.approx(float(expected), abs=1e-6)

    def test_a_second_fit_has_a_best_of_its_own(self, tmp_path):
        watched = monitor(metrics=["drift_from_best"], best=("val_acc", "max"))
        runs.fit(tmp_path, watched, module=Scripted, max_epochs=3)
        kept = Maps(watched)
        runs.fit(tmp_path, watched, kept, module=Scripted, seed=7, max_epochs=2)
        assert math.isnan(kept.drifts[0])
        expected = 1 - map_similarity(kept.maps[1], kept.maps[0]).mean()
        assert kept.drifts[1] == pytest.approx(float(expected), abs=1e-6)

    def test_somebody_must_say_what_is_best(self, tmp_path):
        with pytest.raises(MisconfigurationException, match=r"needs to know which validation is the best; pass best="):
            runs.fit(tmp_path, monitor(metrics=["drift_from_best"]), enable_checkpointing=False)

    @pytest.mark.parametrize("best", ["val_acc", ("val_acc", "largest"), ("val_acc",)])
    def test_it_is_a_metric_and_a_mode(self, best):
        with pytest.raises(MisconfigurationException, match=r"best must be the name of a metric and 'min' or 'max'"):
            monitor(best=best)


class TestScoresOfClasses:
    def test_they_stand_beside_those_of_all(self, tmp_path):
        watched = monitor(per_class=True)
        trainer, module = runs.fit(tmp_path, watched, max_epochs=1)
        names = watched.score_names(trainer, module)
        assert {n for n in names if "/class_" in n} == {
            f"attribution/{of}/{metric}/class_{c}"
            for of in ("saliency", "random")
            for metric in ("srg", "relevance_mass")
            for c in range(3)
        }
        assert set(names) == set(watched.report.scores)
        assert set(names) <= set(trainer.callback_metrics)
        whole = watched.report.scores["attribution/saliency/srg"]
        for c in range(3):
            of_class = watched.report.scores[f"attribution/saliency/srg/class_{c}"]
            picked = [s for s, label in zip(whole.per_sample, watched.probe.label, strict=True) if label == c]
            assert of_class.mean == pytest.approx(sum(picked) / len(picked))
            line = watched.report.scores[f"attribution/random/srg/class_{c}"]
            assert line.n == len(picked)
            assert of_class.skill == pytest.approx((of_class.mean - line.mean) / (1 - line.mean))

    def test_there_must_be_classes(self):
        with pytest.raises(MisconfigurationException, match="per_class needs a probe set with class labels"):
            monitor(probe=runs.probe(label=None), per_class=True)


class TestSecondFit:
    def test_it_has_a_history_of_its_own(self, tmp_path):
        watched, fresh = monitor(every_n_validations=2), monitor(every_n_validations=2)
        runs.fit(tmp_path, watched, max_epochs=1, logger=TensorBoardLogger(tmp_path))
        trainer, _ = runs.fit(tmp_path, watched, max_epochs=1, seed=5, logger=TensorBoardLogger(tmp_path))
        runs.fit(tmp_path, fresh, max_epochs=1, seed=5, logger=TensorBoardLogger(tmp_path))
        assert watched.validations == watched.report.validation == 1
        assert watched.report.global_step == trainer.global_step
        assert watched._gallery.scales == pytest.approx(fresh._gallery.scales)
        assert {len(columns) for columns in watched._gallery._history.values()} == {1}

    def test_a_resume_with_the_same_monitor_goes_on(self, tmp_path):
        watched = monitor()
        trainer, _ = runs.fit(tmp_path, watched, max_epochs=2, logger=TensorBoardLogger(tmp_path))
        trainer.save_checkpoint(tmp_path / "x.ckpt")
        scales = dict(watched._gallery.scales)
        again = runs.trainer(tmp_path, watched, max_epochs=3, logger=TensorBoardLogger(tmp_path))
        again.fit(runs.Module(), *runs.loaders(), ckpt_path=tmp_path / "x.ckpt")
        assert watched.validations == watched.report.validation == 3
        assert scales
        assert watched._gallery.scales == scales

    def test_a_validation_after_the_fit_forgets_nothing(self, tmp_path):
        watched = monitor()
        trainer, module = runs.fit(tmp_path, watched, max_epochs=2, logger=TensorBoardLogger(tmp_path))
        scales = dict(watched._gallery.scales)
        trainer.validate(module, runs.loaders()[1], verbose=False)
        assert watched.validations == 2
        assert watched._gallery.scales == scales


def test_how_far_methods_agree_is_written_as_a_table(tmp_path):
    watched = monitor(methods=["saliency", "input_x_gradient"], metrics=["agreement"])
    runs.fit(tmp_path, watched, logger=TensorBoardLogger(tmp_path), max_epochs=2)
    logged = events(tmp_path)
    assert steps(logged, "attribution/agreement/text_summary", "Tensors") == steps(logged, "val_loss")
    written = logged.Tensors("attribution/agreement/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert written == watched.report.agreement[0].markdown
    assert "| saliency | 1.00 |" in written


def test_classes_have_the_random_line_of_the_same_samples(tmp_path):
    watched = monitor(methods=["saliency"], metrics=["srg", "drift"], per_class=True)
    trainer, module = runs.fit(tmp_path, watched, max_epochs=1)
    lines, directions = watched.yardsticks(trainer, module), watched.directions(trainer, module)
    assert lines == {
        "attribution/saliency/srg": "attribution/random/srg",
        **{f"attribution/saliency/srg/class_{c}": f"attribution/random/srg/class_{c}" for c in range(3)},
    }
    assert directions["attribution/saliency/srg/class_1"] is True
    assert directions["attribution/saliency/drift/class_1"] is None
    assert set(directions) == set(watched.score_names(trainer, module))


def test_the_checkpoint_says_of_which_class_it_is(tmp_path):
    trainer, _ = runs.fit(tmp_path, monitor(), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    kept = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert kept["lightning_explain"]["attribution"]["module"] == "runs:Module"
