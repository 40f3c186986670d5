"""BERT: the encoder, and the two heads it is pretrained with.

Shapes: B sentence pairs, L positions, P prediction slots, D = num_hiddens, V = vocab_size.

Source: Devlin et al. 2019. The interface is d2l's ("Bidirectional Encoder Representations from
Transformers"). Given the same weights the outputs are those of `transformers.BertForPreTraining`.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.vocabulary import Vocab
from .config import BERTConfig
from .encoder import LAYER_NORM_EPS, BERTEncoder


class Turns:
    """A lock that goes to whoever waits before it goes back to whoever has just had it.

    With a plain lock, a thread that trains would take its next turn at once, and one that wants to
    ask something could wait for the whole run. A thread may take it again while it has it.
    """

    def __init__(self):
        self._lock, self._next = threading.Lock(), threading.Lock()
        self._owner, self._depth = 0, 0

    def __enter__(self):
        if self._owner != threading.get_ident():
            with self._next:  # who stands here is the next one; all others stand behind
                self._lock.acquire()
            self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(self, *error: object):
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            self._lock.release()


# One for all networks: dropout draws from PyTorch's one generator, and two networks at once would
# only share the same processor.
_turns = Turns()


@contextlib.contextmanager
def in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """Training or evaluation mode for a while; afterwards the network is in the mode it was in.

    Other threads wait meanwhile. So a sentence can be encoded while a run trains in the background:
    it is read between two parts of a step, without dropout.

    Args:
        net: The network.
        training: True for training mode, in which dropout is on.
    """
    with _turns:
        was_training = net.training
        net.train(training)
        try:
            yield
        finally:
            net.train(was_training)


@contextlib.contextmanager
def dropout_off(net: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for a while; afterwards the mode is what it was."""
    with in_mode(net, training=False), torch.no_grad():
        yield


INIT_STD = 0.02  # BERT's; d2l draws embeddings from N(0, 1), which does not train well
# Of position embeddings. With 0.02, attention takes half as long again to find neighbours.
POSITION_INIT_STD = 0.06
TIED = "mlm.weight"  # in a state: the same tensor as the token embeddings


class MaskLM(nn.Module):
    """Masked-language-model head: a transformed vector is compared with every token's embedding."""

    def __init__(self, config: BERTConfig, token_embedding: nn.Embedding):
        super().__init__()
        self.transform = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        # In a tuple, so that PyTorch does not take it for a part of the head.
        self._embeddings = (token_embedding,)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    @property
    def weight(self) -> nn.Parameter:
        """(V, D), the table of token embeddings, as in BERT; d2l learns a second one as large.

        It is looked up each time. Kept here too, it would become a second table wherever PyTorch
        replaces parameters: in `load_state_dict(..., assign=True)` and in `to_empty`.
        """
        return self._embeddings[0].weight

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        # A state has the table under both names, as if the head held it.
        destination[f"{prefix}weight"] = self.weight if keep_vars else self.weight.detach()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *rest: Any) -> None:
        # The encoder has read the table already; a second one that differs would be lost.
        second, table = state_dict.pop(f"{prefix}weight", None), self.weight.detach()
        if second is not None and not table.is_meta:
            is_same = second.shape == table.shape
            if not is_same or not torch.allclose(second.to(table), table, 0, 0, equal_nan=True):
                rest[-1].append(
                    f"{prefix}weight differs from the token embeddings, but this network has one "
                    "table for both: give it under both names, or as the token embeddings only"
                )
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def features(self, encoded: Tensor) -> Tensor:
        """(..., D) -> (..., D), ready to be compared with the embeddings."""
        return self.norm(F.gelu(self.transform(encoded)))

    def forward(self, encoded: Tensor, pred_positions: Tensor) -> Tensor:
        """Encoded rows (B, L, D) and positions (B, P) -> logits (B, P, V)."""
        rows = torch.arange(encoded.shape[0], device=encoded.device)[:, None]
        return F.linear(self.features(encoded[rows, pred_positions]), self.weight, self.bias)


class NextSentencePred(nn.Module):
    """Next-sentence head: reads the vector of `<cls>`."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.hidden = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.output = nn.Linear(config.num_hiddens, 2)

    def forward(self, encoded_cls: Tensor) -> Tensor:
        """(B, D) -> logits (B, 2): 0 for "from elsewhere", 1 for "is next", as in d2l."""
        return self.output(torch.tanh(self.hidden(encoded_cls)))


def check_vocab(net: "BERTModel", vocab: Vocab) -> None:
    """Check that a network and a vocabulary belong together, by their sizes.

    Raises:
        ValueError: They do not; the message has both sizes.
    """
    if net.config.vocab_size != len(vocab):
        raise ValueError(
            f"the network has {net.config.vocab_size:,} entries, but the vocabulary {len(vocab):,}"
            ": take the vocabulary that the network was trained with"
        )


HEADS = {"mlm": "masked-word head", "nsp": "next-sentence head", "pooler": "pooler"}


def check_head(net: "BERTModel", head: str) -> None:
    """Check that a network has learned what is asked of it: published BERTs may lack a head.

    Args:
        net: The network.
        head: "mlm", "nsp" or "pooler".

    Raises:
        ValueError: The head's weights were in no file, so they are only drawn.
    """
    if head in net.missing_heads:
        raise ValueError(
            f"this network was saved without its {HEADS[head]}, so it cannot answer that: load a "
            "BERT that has one (in its config.json, architectures names BertForPreTraining)"
        )


class BERTOutput(NamedTuple):
    """What `BERTModel` gives, in d2l's order."""

    encoded: Tensor  # (B, L, D), the last layer's vectors
    mlm_logits: Tensor | None  # (B, P, V), a score for every word at each position to predict
    # (B, 2), scores of "from elsewhere" and "is next"; None if the network has no such head.
    nsp_logits: Tensor | None


class BERTModel(nn.Module):
    """BERT with its two pretraining heads.

    Args:
        vocab_size: V, entries of the vocabulary.
        num_hiddens: D, length of a token's vector.
        ffn_num_hiddens: Width inside the feed-forward networks.
        num_heads: H, must divide num_hiddens.
        num_layers: Encoder blocks.
        dropout: How many of the values are zeroed in training, from 0 to below 1.
        max_len: The most positions a row can have.

    Attributes:
        config: Its sizes.
        missing_heads: Those of "mlm", "nsp" and "pooler" that were in no file and are only drawn.
            Whoever trains them takes them out.

    Raises:
        ValueError: A size that cannot be; the message names it.
        TypeError: A size that only d2l has; the message has the line to write.
    """

    def __init__(
        self,
        vocab_size: int,
        num_hiddens: int = 128,
        ffn_num_hiddens: int = 256,
        num_heads: int = 2,
        num_layers: int = 2,
        dropout: float = 0.2,
        max_len: int = 512,
    ):
        super().__init__()
        self.config = BERTConfig(
            vocab_size=vocab_size,
            num_hiddens=num_hiddens,
            ffn_num_hiddens=ffn_num_hiddens,
            num_heads=num_heads,
            num_layers=num_layers,
            dropout=dropout,
            max_len=max_len,
        )
        self.encoder = BERTEncoder(self.config)
        self.mlm = MaskLM(self.config, self.encoder.embeddings.token)
        self.nsp = NextSentencePred(self.config)
        self.missing_heads: frozenset[str] = frozenset()
        self.reset()

    @classmethod
    def from_config(cls, config: BERTConfig) -> "BERTModel":
        """A network of the sizes in `config`."""
        return cls(**vars(config))

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: N(0, 0.02), positions N(0, 0.06), biases 0, scales 1.

        Args:
            generator: Source of randomness; PyTorch's own if None.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INIT_STD, generator=generator)
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        position = self.encoder.embeddings.position.weight
        nn.init.normal_(position, std=POSITION_INIT_STD, generator=generator)

    def forward(
        self,
        token_ids: Tensor,
        segments: Tensor,
        valid_lens: Tensor | None = None,
        pred_positions: Tensor | None = None,
    ) -> BERTOutput:
        """Encode rows of tokens, and predict.

        Args:
            token_ids: (B, L), integers.
            segments: (B, L), 0 or 1.
            valid_lens: (B,), real positions of each row; None if there is no padding.
            pred_positions: (B, P), positions whose token to predict; None for none.

        Returns:
            Vectors and logits.

        Raises:
            ValueError: There are positions to predict, but no head for it; see `check_head`.
        """
        if pred_positions is not None:
            check_head(self, "mlm")
        encoded = self.encoder(token_ids, segments, valid_lens)
        mlm_logits = None if pred_positions is None else self.mlm(encoded, pred_positions)
        nsp_logits = None if "nsp" in self.missing_heads else self.nsp(encoded[:, 0])
        return BERTOutput(encoded, mlm_logits, nsp_logits)
