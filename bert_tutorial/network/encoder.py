"""BERT's encoder: embeddings, and layers of self-attention and feed-forward networks.

Shapes: B sentence pairs, L positions, Q query positions (all of L, or in the last layer only those
that are wanted), D = num_hiddens, H heads.

Source: Devlin et al. 2019; Vaswani et al. 2017.
"""

import math
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .config import BERTConfig
from .fast import Dropout

LAYER_NORM_EPS = 1e-12  # BERT's


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
        """Token ids and segments (B, L) -> vectors (B, L, D)."""
        if token_ids.shape[1] > self.position.num_embeddings:
            raise ValueError(
                f"a row has {token_ids.shape[1]} positions, but this network has position "
                f"embeddings for {self.position.num_embeddings}: shorten the text, or build the "
                "network with a larger max_len"
            )
        position = self.position.weight[: token_ids.shape[1]]  # (L, D)
        x = self.token(token_ids) + self.segment(segments) + position  # (B, L, D)
        if torch.is_autocast_enabled(x.device.type):
            # From here on all vectors are narrow, not only the products.
            x = x.to(torch.get_autocast_dtype(x.device.type))
        return self.dropout(self.norm(x))


class SelfAttention(nn.Module):
    """Multi-head attention: every query position looks at every real position of its row.

    Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.num_heads, D = config.num_heads, config.num_hiddens
        self.query = nn.Linear(D, D)
        self.key_value = nn.Linear(D, 2 * D)  # one product for two
        self.output = nn.Linear(D, D)
        self.dropout = Dropout(config.dropout)

    def forward(self, queries: Tensor, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """What the query positions find in x.

        Args:
            queries: (B, Q, D), vectors of the positions that look.
            x: (B, L, D), vectors of the positions that are looked at.
            padding: (B, 1, 1, L), 0 where a position is real and -inf where it is not.

        Returns:
            The mixed vectors (B, Q, D) and the attention weights (B, H, Q, L).
        """
        (B, Q, D), L, H = queries.shape, x.shape[1], self.num_heads
        q = self.query(queries).view(B, Q, H, D // H).transpose(1, 2)  # (B, H, Q, D / H)
        k, v = self.key_value(x).view(B, L, 2, H, D // H).permute(2, 0, 3, 1, 4)  # (B, H, L, D / H)
        # Written out: on a CPU and for short rows faster than scaled_dot_product_attention.
        scores = (q / math.sqrt(D // H)) @ k.transpose(-1, -2)  # (B, H, Q, L)
        attention = torch.softmax(scores + padding, dim=-1)
        mixed = self.dropout(attention) @ v  # (B, H, Q, D / H)
        return self.output(mixed.transpose(1, 2).reshape(B, Q, D)), attention


class EncoderBlock(nn.Module):
    """Self-attention, then a feed-forward network, each added to its input and normalised."""

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.expand = nn.Linear(config.num_hiddens, config.ffn_num_hiddens)
        self.contract = nn.Linear(config.ffn_num_hiddens, config.num_hiddens)
        self.ffn_norm = nn.LayerNorm(config.num_hiddens, eps=LAYER_NORM_EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, queries: Tensor, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """New vectors (B, Q, D) of the query positions, all of x or some, and their attention."""
        mixed, attention = self.attention(queries, x, padding)
        x = self.attention_norm(queries + self.dropout(mixed))
        return self.ffn_norm(x + self.dropout(self.contract(F.gelu(self.expand(x))))), attention


class BERTEncoder(nn.Module):
    """Embeddings and a stack of layers."""

    # Store only what goes into each layer, and compute the rest again in the backward pass: far
    # less memory, about a third more time, the same losses.
    checkpointing = False

    def __init__(self, config: BERTConfig):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.num_layers))

    def forward(
        self,
        token_ids: Tensor,
        segments: Tensor,
        valid_lens: Tensor | None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """The last layer's vectors, (B, L, D) or (B, Q, D); arguments as in `layers`."""
        # One at a time: the attention of the other layers need not be kept.
        return deque(self.layers(token_ids, segments, valid_lens, positions), maxlen=1)[0][0]

    def layers(
        self,
        token_ids: Tensor,
        segments: Tensor,
        valid_lens: Tensor | None,
        positions: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Vectors (B, L, D), first the embeddings, and each layer's attention (B, H, L, L).

        Args:
            token_ids: (B, L), integers.
            segments: (B, L), 0 or 1.
            valid_lens: (B,), real positions of each row; None if there is no padding.
            positions: (B, Q), positions whose vectors are wanted; None for all. The last layer then
                computes no others: it gives (B, Q, D) and (B, H, Q, L).
        """
        x = self.embeddings(token_ids, segments)
        B, L = token_ids.shape
        padding = torch.zeros(B, 1, 1, L, device=x.device, dtype=x.dtype)
        if valid_lens is not None:  # nobody looks at padding
            real = valid_lens.reshape(B, 1, 1, 1).clamp(min=1)
            padding.masked_fill_(torch.arange(L, device=x.device) >= real, float("-inf"))
        yield x, None
        for block in self.blocks:
            queries = x
            if positions is not None and block is self.blocks[-1]:
                queries = x[torch.arange(len(x), device=x.device)[:, None], positions]
            if self.checkpointing and torch.is_grad_enabled():
                x, attention = checkpoint(block, queries, x, padding, use_reentrant=False)
            else:
                x, attention = block(queries, x, padding)
            yield x, attention
