"""Published experiments: functions from a config and a seed to numbers, run on grids, recorded.

``python -m bncourse experiment`` runs and records them; notebooks draw what
:func:`~bncourse.experiments.record.load` gives.
"""

from bncourse.experiments.experiment import Cell, Experiment
from bncourse.experiments.record import load
from bncourse.experiments.registry import EXPERIMENTS
from bncourse.experiments.results import Results

__all__ = ["EXPERIMENTS", "Cell", "Experiment", "Results", "load"]
