"""The pytest plugin of the process that runs Captum's tests: puts the shim in, and writes down what came out."""

import json
from pathlib import Path

from conformance import shim


def pytest_addoption(parser):
    parser.addoption("--against", choices=("captum", "ours"), required=True)
    parser.addoption("--outcomes", type=Path, required=True)


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.getoption("outcomes"), shim.install(config.getoption("against"))))


class Outcomes:
    def __init__(self, path, names):
        self.path, self.names, self.seen = path, names, {}

    def note(self, test, outcome, message=""):
        if self.seen.get(test, ("passed",))[0] == "passed":
            self.seen[test] = outcome, message

    def pytest_collection_modifyitems(self, config, items):
        """Leave out what sees none of the public names: tests of Captum's private helpers."""
        kept = [item for item in items if any(id(value) in self.names for value in vars(item.module).values())]
        for item in (left := [item for item in items if item not in kept]):
            self.note(item.nodeid, "private")
        items[:] = kept
        config.hook.pytest_deselected(items=left)

    def pytest_collectreport(self, report):
        if report.failed:
            self.note(report.nodeid, "failed", report.longreprtext)

    def pytest_runtest_logreport(self, report):
        if report.failed or report.skipped:
            self.note(report.nodeid, report.outcome, report.longreprtext)
        elif report.when == "call":
            self.note(report.nodeid, "passed")

    def pytest_sessionfinish(self):
        self.path.write_text(json.dumps(self.seen))
