"""BERT: embeddings, encoder, and the two heads it is pretrained with.

Shapes: B sentence pairs, L positions, P slots for predictions, D = num_hiddens, H heads, V = vocab_size.

Source: Devlin et al. 2019; the interface is the document's (d2l.ai, "Bidirectional Encoder Representations from Transformers").
Given the same weights the outputs are those of `transformers.BertForPreTraining`.
"""

import contextlib
import math
import threading
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYER_NORM_EPS = 1e-12  # BERT's
INIT_STD = 0.02  # BERT's; the document draws embeddings from N(0, 1), which does not train well
# Of position embeddings: with BERT's 0.02 attention takes half as long again to find out what stands next to what.
POSITION_INIT_STD = 0.06


@dataclass(frozen=True, kw_only=True)
class BERTConfig:
    """Sizes of a BERT. `small()` is the document's, `base()` and `large()` are the published ones."""

    vocab_size: int
    num_hiddens: int = 128
    ffn_num_hiddens: int = 256
    num_heads: int = 2
    num_layers: int = 2
    dropout: float = 0.2
    max_len: int = 512

    def __post_init__(self):
        for name in ("vocab_size", "num_hiddens", "ffn_num_hiddens", "num_heads", "num_layers", "max_len"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, but must be a whole number of at least 1")
        if self.num_hiddens % self.num_heads:
            divisors = [n for n in range(1, self.num_hiddens + 1) if self.num_hiddens % n == 0 and n <= 16]
            raise ValueError(
                f"num_heads is {self.num_heads}, but must divide num_hiddens ({self.num_hiddens}), "
                f"as {', '.join(map(str, divisors))} do"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout!r}, but must be at least 0 and below 1, for example 0.1")

    @classmethod
    def small(cls, vocab_size: int, **changes) -> "BERTConfig":
        """The document's demonstration: 2 layers, 128 hidden units, 2 heads."""
        return cls(vocab_size=vocab_size, **changes)

    @classmethod
    def base(cls, vocab_size: int = 30_522, **changes) -> "BERTConfig":
        """BERT base: 110 million parameters with its vocabulary of 30,522 WordPieces."""
        sizes = dict(num_hiddens=768, ffn_num_hiddens=3072, num_heads=12, num_layers=12, dropout=0.1)
        return cls(vocab_size=vocab_size, **(sizes | changes))

    @classmethod
    def large(cls, vocab_size: int = 30_522, **changes) -> "BERTConfig":
        """BERT large: 340 million parameters with its vocabulary of 30,522 WordPieces."""
        sizes = dict(num_hiddens=1024, ffn_num_hiddens=4096, num_heads=16, num_layers=24, dropout=0.1)
        return cls(vocab_size=vocab_size, **(sizes | changes))


class Dropout(nn.Module):
    """Zero a share of the values while training, and scale the others up: `nn.Dropout`, but cheaper on a CPU.

    `nn.Dropout` draws a number for each value. Here one drawn 64-bit number serves eight values, a byte each, and the share is
    rounded to a multiple of 1/256.
    """

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.share)
        dropped = round(self.share * 256)
        numbers = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        drawn = numbers.view(torch.uint8)[: x.numel()].view(x.shape)
        keep = torch.ge(drawn, dropped, out=torch.empty_like(x))  # 0 or 1, and at once in the format of x
        return x * keep.mul_(256 / (256 - dropped))


class Embeddings(nn.Module):
    """Token + segment + position embeddings, normalised: what the first layer reads."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.num_hiddens)
        self.segment = nn.Embedding(2, config.num_hiddens)
        self.position = nn.Embedding(config.max_len, config.num_hiddens)  # learned, not sines
        self.norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, token_ids: Tensor, segments: Tensor) -> Tensor:
        if token_ids.shape[1] > self.position.num_embeddings:
            raise ValueError(
                f"a row has {token_ids.shape[1]} positions, but this network has position embeddings for "
                f"{self.position.num_embeddings}: shorten the text, or build the network with a larger max_len"
            )
        position = self.position.weight[: token_ids.shape[1]]  # (L, D)
        x = self.token(token_ids) + self.segment(segments) + position  # (B, L, D)
        if torch.is_autocast_enabled(x.device.type):  # from here on all vectors are narrow, not only the products
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return self.dropout(self.norm(x))


class SelfAttention(nn.Module):
    """Multi-head attention: every reader looks at every real position of its row.

    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.num_heads = config.num_heads
        self.query = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.key_value = nn.Linear(config.num_hiddens, 2 * config.num_hiddens)  # one product instead of two
        self.output = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.dropout = Dropout(config.dropout)

    def forward(self, readers: Tensor, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """What readers (B, R, D) find in x (B, L, D), where padding (B, 1, 1, L) is 0 and not -inf.

        Returns:
            The mixed vectors (B, R, D) and the attention weights (B, H, R, L).
        """
        (B, R, D), L = readers.shape, x.shape[1]
        query = self.query(readers).view(B, R, self.num_heads, D // self.num_heads).transpose(1, 2)
        key, value = self.key_value(x).view(B, L, 2, self.num_heads, D // self.num_heads).permute(2, 0, 3, 1, 4)
        # Written out rather than called: on a CPU and for short rows this is faster than scaled_dot_product_attention.
        scores = (query / math.sqrt(D // self.num_heads)) @ key.transpose(-1, -2)  # (B, H, R, L)
        attention = torch.softmax(scores + padding, dim=-1)
        mixed = self.dropout(attention) @ value  # (B, H, R, D / H)
        return self.output(mixed.transpose(1, 2).reshape(B, R, D)), attention


class EncoderBlock(nn.Module):
    """One layer: self-attention, then a feed-forward network, each added to its input and normalised (post-norm)."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.expand = nn.Linear(config.num_hiddens, config.ffn_num_hiddens)
        self.contract = nn.Linear(config.ffn_num_hiddens, config.num_hiddens)
        self.ffn_norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, readers: Tensor, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """New vectors for the readers (B, R, D), which are x itself or some of it, and their attention (B, H, R, L)."""
        mixed, attention = self.attention(readers, x, padding)
        readers = self.attention_norm(readers + self.dropout(mixed))
        return self.ffn_norm(readers + self.dropout(self.contract(F.gelu(self.expand(readers))))), attention


class BERTEncoder(nn.Module):
    """Embeddings and a stack of layers."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.num_layers))

    def forward(self, token_ids: Tensor, segments: Tensor, valid_lens: Tensor | None, positions: Tensor | None = None):
        """The last layer's vectors.

        Args:
            token_ids: (B, L), token numbers.
            segments: (B, L), 0 or 1.
            valid_lens: (B,), real positions of each row; None if there is no padding.
            positions: (B, R), positions whose vectors are wanted; None for all. The last layer then computes no others.

        Returns:
            (B, R, D), or (B, L, D) if all are wanted.
        """
        *_, (x, _) = self.layers(token_ids, segments, valid_lens, positions)
        return x

    def layers(self, token_ids: Tensor, segments: Tensor, valid_lens: Tensor | None, positions: Tensor | None = None):
        """Yield, from the embeddings up, each layer's vectors (B, L, D) and attention (B, H, L, L), None for the embeddings.

        The last layer gives vectors and attention of `positions` only, if there are any.
        """
        x = self.embeddings(token_ids, segments)
        padding = padding_scores(token_ids.shape, valid_lens, x)
        yield x, None
        for block in self.blocks:
            readers = x
            if positions is not None and block is self.blocks[-1]:
                readers = x[torch.arange(len(x), device=x.device)[:, None], positions]
            x, attention = block(readers, x, padding)
            yield x, attention


def padding_scores(shape, valid_lens: Tensor | None, like: Tensor) -> Tensor:
    """What to add to attention scores so that nobody looks at padding: (B, 1, 1, L), 0 where real and -inf where not."""
    B, L = shape
    scores = torch.zeros(B, 1, 1, L, device=like.device, dtype=like.dtype)
    if valid_lens is None:
        return scores
    is_padding = torch.arange(L, device=like.device) >= valid_lens.reshape(B, 1, 1, 1).clamp(min=1)
    return scores.masked_fill(is_padding, float("-inf"))


class MaskLM(nn.Module):
    """Masked-language-model head: a transformed vector is compared with every token's embedding."""

    def __init__(self, config: BERTConfig, token_embedding: nn.Embedding):
        super().__init__()
        self.transform = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.weight = token_embedding.weight  # tied, as in BERT; the document learns a second table of the same size
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def features(self, encoded: Tensor) -> Tensor:
        """(..., D) -> (..., D), ready to be compared with the embeddings."""
        return self.norm(F.gelu(self.transform(encoded)))

    def forward(self, encoded: Tensor, pred_positions: Tensor) -> Tensor:
        """Encoded rows (B, L, D) and positions (B, P) -> logits (B, P, V)."""
        rows = torch.arange(len(encoded), device=encoded.device)[:, None]
        return F.linear(self.features(encoded[rows, pred_positions]), self.weight, self.bias)


class NextSentencePred(nn.Module):
    """Next-sentence head: reads the vector of `<cls>`."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.hidden = nn.Linear(config.num_hiddens, config.num_hiddens)
        self.output = nn.Linear(config.num_hiddens, 2)

    def forward(self, encoded_cls: Tensor) -> Tensor:
        """(B, D) -> logits (B, 2): 0 for "from elsewhere", 1 for "is next", as in the document."""
        return self.output(torch.tanh(self.hidden(encoded_cls)))


class BERTModel(nn.Module):
    """BERT with its two pretraining heads.

    Args:
        vocab_size: V, entries of the vocabulary.
        num_hiddens: D, length of a token's vector.
        ffn_num_hiddens: Width inside the feed-forward networks.
        num_heads: H, must divide num_hiddens.
        num_layers: Encoder blocks.
        dropout: Share of values that are zeroed in training.
        max_len: The most positions a row can have.

    Raises:
        ValueError: A size that cannot be; the message names it.
    """

    def __init__(
        self, vocab_size, num_hiddens=128, ffn_num_hiddens=256, num_heads=2, num_layers=2, dropout=0.2, max_len=512
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
        nn.init.normal_(self.encoder.embeddings.position.weight, std=POSITION_INIT_STD, generator=generator)

    def forward(self, token_ids, segments, valid_lens=None, pred_positions=None):
        """Encode rows of tokens, and predict.

        Args:
            token_ids: (B, L), integers.
            segments: (B, L), 0 or 1.
            valid_lens: (B,), real positions of each row; None if there is no padding.
            pred_positions: (B, P), positions whose token to predict; None for none.

        Returns:
            `encoded` (B, L, D); `mlm_logits` (B, P, V) or None; `nsp_logits` (B, 2).
        """
        encoded = self.encoder(token_ids, segments, valid_lens)
        mlm_logits = None if pred_positions is None else self.mlm(encoded, pred_positions)
        return encoded, mlm_logits, self.nsp(encoded[:, 0])


_in_use = threading.RLock()


@contextlib.contextmanager
def in_mode(net: BERTModel, training: bool):
    """Training or evaluation mode for a while; afterwards the network is in the mode it was in.

    Other threads wait meanwhile. So a sentence can be encoded while a run trains in the background: it is read between two
    steps, without dropout.
    """
    with _in_use:
        was_training = net.training
        net.train(training)
        try:
            yield
        finally:
            net.train(was_training)
