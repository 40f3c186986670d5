"""Small heads on a BERT: for a text or a pair of texts, and for single words.

Shapes: B rows, L positions, D hidden units, C labels.

Source: Devlin et al. 2019, section 4 and figure 4. The interface and the names are those of
d2l ("Fine-Tuning BERT for Sequence-Level and Token-Level Applications").
"""

import copy

import torch
from torch import Tensor, nn

from ..network.fast import Dropout
from ..network.model import INIT_STD, BERTModel


class FineTuned(nn.Module):
    """A BERT with a head that gives labels; all of it is trained.

    For texts and pairs the head reads the vector of `<cls>`, as the next-sentence head does, whose
    hidden layer it takes over. For tagging it reads each position's own vector.
    """

    def __init__(self, bert: BERTModel, num_labels: int, tagging: bool = False, pool="cls"):
        super().__init__()
        self.bert, self.tagging = bert, tagging
        self.pool = pool
        self.dropout = Dropout(bert.config.dropout)
        self.classifier = nn.Linear(bert.config.num_hiddens, num_labels)

    @classmethod
    def on(
        cls, bert: BERTModel, num_labels: int, tagging: bool = False, seed: int = 0,
        pretrained: bool = True,
    ) -> "FineTuned":  # fmt: skip
        """A new head on a copy of a network; all weights are drawn anew if not `pretrained`."""
        device, generator = bert.word_vectors.device, torch.Generator().manual_seed(seed)
        bert = copy.deepcopy(bert).cpu()
        if not pretrained:
            bert.reset(generator)
        tuned = cls(bert, num_labels, tagging)
        nn.init.normal_(tuned.classifier.weight, std=INIT_STD, generator=generator)
        nn.init.zeros_(tuned.classifier.bias)
        return tuned.to(device)

    @property
    def word_vectors(self) -> nn.Parameter:
        """(V, D), the token embeddings."""
        return self.bert.word_vectors

    @property
    def outputs(self) -> list[nn.Linear]:
        """What gives scores."""
        return [self.classifier, self.bert.nsp.output]

    def forward(self, token_ids: Tensor, segments: Tensor, valid_lens: Tensor) -> Tensor:
        """Scores (B, C) of the labels, or when tagging (B, L, C); arguments as in `BERTModel`."""
        if self.tagging:
            return self.classifier(self.dropout(self.bert.encoder(token_ids, segments, valid_lens)))
        if self.pool == "cls":
            first = torch.zeros_like(valid_lens)[:, None]
            x = self.bert.encoder(token_ids, segments, valid_lens, first)[:, 0]
        else:
            enc = self.bert.encoder(token_ids, segments, valid_lens)
            m = (torch.arange(token_ids.shape[1])[None] < valid_lens[:, None]).to(enc.dtype)[..., None]
            x = (enc * m).sum(1) / m.sum(1)
        if self.pool != "mean-plain":
            x = torch.tanh(self.bert.nsp.hidden(x))
        return self.classifier(self.dropout(x))
