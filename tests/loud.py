"""What users' modules do, for tests of the command line: print, crash, leave."""

import sys

import runs

print("loud: imported")


class Module(runs.Module):
    def forward(self, x):
        print("loud: forward")
        return super().forward(x)


class Crashing(runs.Module):
    def forward(self, x):
        raise ZeroDivisionError("in the model")


def leave():
    sys.exit(1)
