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

INIT_STD = 0.02  # BERT's; d2l draws embeddings from N(0, 1), which does not train well
# Of position embeddings. With 0.02, attention takes half as long again to find neighbours.
POSITION_INIT_STD = 0.06
HEADS = {"mlm": "masked-word head", "nsp": "next-sentence head", "pooler": "pooler"}


class MaskLM(nn.Module):
    """Masked-language-model head: a transformed vector is compared with every word's vector.

    As in BERT these are the encoder's token embeddings; d2l learns a second table as large.
    """

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.transform = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def features(self, encoded: Tensor) -> Tensor:
        """(..., D) -> (..., D), ready to be compared with the word vectors."""
        return self.norm(F.gelu(self.transform(encoded)))

    def forward(self, encoded: Tensor, pred_positions: Tensor, word_vectors: Tensor) -> Tensor:
        """Encoded rows (B, L, D), positions (B, P) and word vectors (V, D) -> logits (B, P, V)."""
        rows = torch.arange(encoded.shape[0], device=encoded.device)[:, None]
        return F.linear(self.features(encoded[rows, pred_positions]), word_vectors, self.bias)


class NextSentencePred(nn.Module):
    """Next-sentence head: reads the vector of `<cls>`."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.hidden = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.output = nn.Linear(config.num_hiddens, 2)

    def forward(self, encoded_cls: Tensor) -> Tensor:
        """(B, D) -> logits (B, 2): 0 for "from elsewhere", 1 for "is next", as in d2l."""
        return self.output(torch.tanh(self.hidden(encoded_cls)))


class BERTOutput(NamedTuple):
    """What `BERTModel` gives, in d2l's order."""

    encoded: Tensor  # (B, L, D), the last layer's vectors
    mlm_logits: Tensor | None  # (B, P, V), a score for every word at each position to predict
    nsp_logits: Tensor | None  # (B, 2), "from elsewhere", "is next"; None if there is no such head


class BERTModel(nn.Module):
    """BERT with its two pretraining heads. Its sizes are explained in `BERTConfig`."""

    def __init__(
        self, vocab_size: int, num_hiddens: int = 128, ffn_num_hiddens: int = 256,
        num_heads: int = 2, num_layers: int = 2, dropout: float = 0.2, max_len: int = 512,
    ):  # fmt: skip
        super().__init__()
        self.config = BERTConfig(
            vocab_size=vocab_size, num_hiddens=num_hiddens, ffn_num_hiddens=ffn_num_hiddens,
            num_heads=num_heads, num_layers=num_layers, dropout=dropout, max_len=max_len,
        )  # fmt: skip
        self.encoder = BERTEncoder(self.config)
        self.mlm = MaskLM(self.config)
        self.nsp = NextSentencePred(self.config)
        self.missing_heads: frozenset[str] = frozenset()  # of HEADS: in no file, so only drawn
        self.reset()

    @classmethod
    def from_config(cls, config: BERTConfig) -> "BERTModel":
        """A network of the sizes in `config`."""
        return cls(**vars(config))

    @property
    def word_vectors(self) -> nn.Parameter:
        """(V, D), the token embeddings: the encoder reads them, the masked-word head compares."""
        return self.encoder.embeddings.token.weight

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *how: Any) -> None:
        table, again = f"{prefix}encoder.embeddings.token.weight", f"{prefix}mlm.weight"
        if {table, again} <= state.keys() and torch.equal(state[table], state[again]):
            del state[again]  # older versions named the table twice
        super()._load_from_state_dict(state, prefix, *how)

    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: N(0, 0.02), positions N(0, 0.06), biases 0, scales 1."""
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
        """
        encoded, mlm_logits = self.encoder(token_ids, segments, valid_lens), None
        if pred_positions is not None:
            check_head(self, "mlm")
            mlm_logits = self.mlm(encoded, pred_positions, self.word_vectors)
        nsp_logits = None if "nsp" in self.missing_heads else self.nsp(encoded[:, 0])
        return BERTOutput(encoded, mlm_logits, nsp_logits)


def check_vocab(net: BERTModel, vocab: Vocab) -> None:
    """Raise a ValueError if a network and a vocabulary do not belong together, by their sizes."""
    if hasattr(net, "module") and not hasattr(net, "config"):
        raise TypeError("the network is wrapped for several devices: write net.module in its place")
    sizes = net.config.vocab_size, len(net.word_vectors), len(net.mlm.bias)
    if wrong := [size for size in sizes if size != len(vocab)]:
        raise ValueError(
            f"the network has {wrong[0]:,} entries, but the vocabulary {len(vocab):,}: take the "
            "vocabulary that the network was trained with"
        )


def check_head(net: BERTModel, head: str) -> None:
    """Raise a ValueError if "mlm", "nsp" or "pooler" was in no file, so that it is only drawn."""
    if head in net.missing_heads:
        raise ValueError(
            f"this network was saved without its {HEADS[head]}, so it cannot answer that: load a "
            "BERT that has one (in its config.json, architectures names BertForPreTraining)"
        )


# Threads that want a network: the first is at work, the others wait. One row for all networks:
# dropout draws from PyTorch's one generator, and two at once would only share the same processor.
_row: list[threading.Thread] = []
_row_lock = threading.RLock()  # itself, not the condition, in `with`: no interrupt comes in between
_row_moves = threading.Condition(_row_lock)


def _at_work() -> threading.Thread | None:
    return next((thread for thread in _row if thread.is_alive()), None)


@contextlib.contextmanager
def in_mode(net: nn.Module, training: bool) -> Iterator[None]:
    """Training (with dropout) or evaluation mode for a while; afterwards the mode is what it was.

    One thread at a time, in the order in which they asked; inside its turn one may ask again. So a
    sentence can be encoded while a run trains in the background: it is read between two parts of a
    step. With a plain lock, the thread that trains would take its next turn at once.
    """
    me, is_inner = threading.current_thread(), True
    try:
        with _row_lock:
            if _at_work() is not me:
                is_inner = False
                _row.append(me)
                # Now and then also unasked: who is ended in a bad moment does not say so.
                while not _row_moves.wait_for(lambda: _at_work() is me, timeout=1):
                    pass
        was_training = net.training
        try:
            net.train(training)
            yield
        finally:
            net.train(was_training)
    finally:
        if not is_inner:
            with _row_lock:
                _row[:] = [other for other in _row if other is not me and other.is_alive()]
                _row_moves.notify_all()


@contextlib.contextmanager
def dropout_off(net: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients for a while; afterwards the mode is what it was."""
    with in_mode(net, training=False), torch.no_grad():
        yield
