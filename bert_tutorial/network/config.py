"""The sizes of a BERT."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BERTConfig:
    """Sizes of a BERT. `small()` is d2l's, `base()` and `large()` are the published ones."""

    vocab_size: int  # V, entries of the vocabulary
    num_hiddens: int = 128  # D, length of a token's vector
    ffn_num_hiddens: int = 256  # width inside the feed-forward networks
    num_heads: int = 2  # H, must divide num_hiddens
    num_layers: int = 2  # encoder blocks
    dropout: float = 0.2  # how many of the values are zeroed in training, from 0 to below 1
    max_len: int = 512  # the most positions a row can have

    def __post_init__(self):
        for name, value in vars(self).items():
            if name != "dropout" and (type(value) is not int or not 1 <= value <= 10**8):
                raise ValueError(f"{name} is {value!r}, but must be a whole number from 1 to 10**8")
        if self.num_hiddens % self.num_heads:
            divisors = ", ".join(str(n) for n in range(1, 17) if self.num_hiddens % n == 0)
            must = f"must divide num_hiddens ({self.num_hiddens}), as {divisors} do"
            raise ValueError(f"num_heads is {self.num_heads}, but {must}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout!r}, but must be at least 0 and below 1")

    @classmethod
    def small(cls, vocab_size: int, **changes: Any) -> "BERTConfig":
        """d2l's demonstration: 2 layers, 128 hidden units, 2 heads."""
        return cls(vocab_size=vocab_size, **changes)

    @classmethod
    def base(cls, vocab_size: int = 30_522, **changes: Any) -> "BERTConfig":
        """BERT base: 110 million parameters with its vocabulary of 30,522 WordPieces."""
        sizes = dict(num_hiddens=768, ffn_num_hiddens=3072, num_heads=12, num_layers=12)
        return cls(vocab_size=vocab_size, **{**sizes, "dropout": 0.1, **changes})

    @classmethod
    def large(cls, vocab_size: int = 30_522, **changes: Any) -> "BERTConfig":
        """BERT large: 340 million parameters with its vocabulary of 30,522 WordPieces."""
        sizes = dict(num_hiddens=1024, ffn_num_hiddens=4096, num_heads=16, num_layers=24)
        return cls(vocab_size=vocab_size, **{**sizes, "dropout": 0.1, **changes})
