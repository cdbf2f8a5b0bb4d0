"""The process that ``process_under_test`` starts when operators ask for something: with the same handlers."""

import sys

from processor.operations.process import run
from processor.settings import ProcessorSettings
from sluice.runtime.settings import load
from tests.processor.process_under_test import REGISTRY

if __name__ == "__main__":
    run(load(ProcessorSettings), REGISTRY, int(sys.argv[1]))
