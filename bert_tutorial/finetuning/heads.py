"""Small heads on a BERT: one label for a text or a pair of texts, or one for each word.

Shapes: B rows, L positions, C labels.

Source: Devlin et al. 2019, section 4 and figure 4; d2l, "Fine-Tuning BERT for Sequence-Level and
Token-Level Applications".
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..network.fast import Dropout
from ..network.model import INIT_STD, BERTModel


class FineTuned(nn.Module):
    """A BERT with a head that scores labels; all of it is trained.

    For texts and pairs the head reads the vector of `<cls>` through the hidden layer of the
    next-sentence head, as in d2l. For tagging it reads each position's own vector.
    """

    def __init__(self, bert: BERTModel, names: Sequence[str], tagging: bool = False):
        super().__init__()
        self.bert, self.names, self.tagging = bert, tuple(names), tagging
        self.dropout = Dropout(bert.config.dropout)
        # Without PyTorch's own start, which would draw from its one generator.
        self.classifier = nn.utils.skip_init(nn.Linear, bert.config.num_hiddens, len(names))
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def on(
        cls, bert: BERTModel, names: Sequence[str], tagging: bool = False, seed: int = 0,
        pretrained: bool = True,
    ) -> "FineTuned":  # fmt: skip
        """A new head on a copy of a network, whose weights are drawn anew if not `pretrained`."""
        device, generator = bert.word_vectors.device, torch.Generator().manual_seed(seed)
        bert = copy.deepcopy(bert).cpu()
        if not pretrained:
            bert.reset(generator)
        tuned = cls(bert, names, tagging)
        nn.init.normal_(tuned.classifier.weight, std=INIT_STD, generator=generator)
        return tuned.to(device).eval()

    @property
    def word_vectors(self) -> nn.Parameter:
        """(V, D), the token embeddings."""
        return self.bert.word_vectors

    def forward(self, token_ids: Tensor, segments: Tensor, valid_lens: Tensor) -> Tensor:
        """Scores (B, C) of the labels, or when tagging (B, L, C); arguments as in `BERTModel`."""
        first = None if self.tagging else torch.zeros_like(valid_lens)[:, None]
        x = self.bert.encoder(token_ids, segments, valid_lens, first)  # (B, L, D) or (B, 1, D)
        if not self.tagging:
            x = torch.tanh(self.bert.nsp.hidden(x[:, 0]))
        return self.classifier(self.dropout(x))
