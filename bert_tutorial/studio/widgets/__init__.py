"""What can be moved, typed into and clicked in the notebooks.

Views only: all that they show is computed elsewhere in the package.
"""

from .fine_tuning_panel import FineTuningPanel
from .mask_explorer import MaskExplorer
from .sentence_lab import SentenceLab
from .training_panel import TrainingPanel

__all__ = ["FineTuningPanel", "MaskExplorer", "SentenceLab", "TrainingPanel"]
