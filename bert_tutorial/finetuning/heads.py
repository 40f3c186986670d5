"""Small heads on a BERT: labels for a text, for a pair of texts, for a word or two uses of one.

Shapes: B rows, L positions, D hidden units, C labels.

Sources: Devlin et al. 2019, section 4 and figure 4; d2l, "Fine-Tuning BERT for Sequence-Level and
Token-Level Applications"; of two uses Conneau et al. 2017, "Supervised Learning of Universal
Sentence Representations".
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..network.fast import Dropout
from ..network.model import INIT_STD, BERTModel
from .labelled import Labelled


class FineTuned(nn.Module):
    """A BERT with a head that scores labels; all of it is trained.

    Args:
        bert: The network, which is used and changed.
        names: Of the C labels.
        kind: What the head reads. "text", for texts and pairs: the vector of `<cls>` through the
            hidden layer of the next-sentence head, as in d2l. "tagging": the vector of a word.
            "two uses": of two rows the vectors u and v of a word, as |u - v| and u * v.
    """

    def __init__(self, bert: BERTModel, names: Sequence[str], kind: str = "text"):
        super().__init__()
        self.bert, self.names, self.kind = bert, tuple(names), kind
        self.dropout = Dropout(bert.config.dropout)
        width = bert.config.num_hiddens * (2 if kind == "two uses" else 1)
        # Without PyTorch's own start, which would draw from its one generator.
        self.classifier = nn.utils.skip_init(nn.Linear, width, len(names))
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    @classmethod
    def on(
        cls, bert: BERTModel, data: Labelled, seed: int = 0, pretrained: bool = True
    ) -> "FineTuned":
        """A new head for some data on a copy of a network, drawn anew if not `pretrained`."""
        device, generator = bert.word_vectors.device, torch.Generator().manual_seed(seed)
        bert = copy.deepcopy(bert).cpu()
        if not pretrained:
            bert.reset(generator)
        tuned = cls(bert, data.names, data.kind)
        nn.init.normal_(tuned.classifier.weight, std=INIT_STD, generator=generator)
        return tuned.to(device).eval()

    @property
    def word_vectors(self) -> nn.Parameter:
        """(V, D), the token embeddings."""
        return self.bert.word_vectors

    def forward(
        self, token_ids: Tensor, segments: Tensor, valid_lens: Tensor, positions: Tensor
    ) -> Tensor:
        """Scores (B, P, C) of the labels, read at positions (B, P); the rest as in `BERTModel`.

        Of two uses two rows give one answer: (B / 2, P, C).
        """
        x = self.bert.encoder(token_ids, segments, valid_lens, positions)  # (B, P, D)
        if self.kind == "text":
            x = torch.tanh(self.bert.nsp.hidden(x))
        elif self.kind == "two uses":
            x = torch.cat([(x[::2] - x[1::2]).abs(), x[::2] * x[1::2]], dim=-1)
        return self.classifier(self.dropout(x))
