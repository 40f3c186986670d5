"""A batch of pretraining examples.

Shapes: B sentence pairs in a batch, L = max_len positions, P slots for predictions.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LENGTH_MULTIPLE = 8  # the lengths of trimmed batches are multiples of it


class Batch(NamedTuple):
    """Pretraining examples, in d2l's order; all integers are int64."""

    token_ids: Tensor  # (B, L), masked
    segments: Tensor  # (B, L), 0 up to the first <sep>, 1 up to the second, 0 in the padding
    valid_lens: Tensor  # (B,), positions that are not padding
    pred_positions: Tensor  # (B, P), positions to predict, ascending; 0 in unused slots
    mlm_weights: Tensor  # (B, P), float32, 1 for a real slot and 0 for an unused one
    mlm_labels: Tensor  # (B, P), the tokens that stood there
    nsp_labels: Tensor  # (B,), 1 where the second sentence follows the first in the text

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(*(field.to(device) for field in self))

    def split(self, size: int) -> list["Batch"]:
        """The same examples in batches of at most `size`."""
        parts = zip(*(field.split(size) for field in self), strict=True)
        return [Batch(*part) for part in parts]

    def trim(self) -> "Batch":
        """The same batch without what is padding or unused in every row.

        The length is rounded up to a multiple of 8. PyTorch prepares every new size of matrix
        product on a CPU and keeps what it has prepared; fewer lengths take less time and memory.
        """
        length = -(-int(self.valid_lens.max()) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        slots = max(1, int(self.mlm_weights.sum(1).max()))
        return self._replace(
            token_ids=self.token_ids[:, :length],
            segments=self.segments[:, :length],
            pred_positions=self.pred_positions[:, :slots],
            mlm_weights=self.mlm_weights[:, :slots],
            mlm_labels=self.mlm_labels[:, :slots],
        )
