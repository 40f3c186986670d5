"""What makes a whole run: sizes of the network, examples, and how to train.

The options of `python -m bert_tutorial.pretrain` follow from the fields of `RunSettings`; the
training panel has controls for some of them.
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import torch

from ...devices import try_all_gpus
from ...network.config import BERTConfig
from ...network.model import BERTModel
from ...pretraining.run import Settings
from ...text.examples import PretrainingExamples

SIZES = ("num_hiddens", "ffn_num_hiddens", "num_heads", "num_layers", "dropout")
MOST = dict(batch_size=10**6, sentences_per_segment=1000, num_layers=1000, max_len=10**6)
MOST["min_freq"] = 10**9
EXAMPLES = ("batch_size", "mask_rate", "sentences_per_segment", "next_sentence_rate", "seed")


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """Everything that makes a run what it is, but the text. The defaults are d2l's sizes."""

    batch_size: int = 512
    mask_rate: float = 0.15
    sentences_per_segment: tuple[int, ...] = (1,)  # several numbers: each batch has another
    next_sentence_rate: float = 0.5  # how often the second segment follows; 1: no NSP loss
    num_layers: int = 2
    num_hiddens: int = 128
    ffn_num_hiddens: int = 256
    num_heads: int = 2
    dropout: float = 0.2
    max_len: int = 64  # of the rows of a text that is read for the run
    min_freq: int | None = None  # rarer words become <unk>; None: the corpus's own number

    def __post_init__(self):
        super().__post_init__()
        for name, most in MOST.items():  # what can be told before the text is known
            value = getattr(self, name)
            wholes = value if isinstance(value, tuple) and value else [value]
            fit = [type(whole) is int and 1 <= whole <= most for whole in wholes]
            if not all(fit) and (name, value) != ("min_freq", None):
                must = f"must be a whole number from 1 to {most:,}"
                raise ValueError(f"{name} is {value!r}, but {must}")

    def config(self, vocab_size: int, max_len: int = 512) -> BERTConfig:
        """The sizes of the network, for rows of at most `max_len` positions."""
        return BERTConfig(
            vocab_size=vocab_size, max_len=max_len, **{name: getattr(self, name) for name in SIZES}
        )

    def network(
        self, vocab_size: int, max_len: int = 512, device: torch.device | None = None
    ) -> BERTModel:
        """A new network on a device, by default the one that trains; it follows from the seed."""
        with torch.device("meta"):
            net = BERTModel.from_config(self.config(vocab_size, max_len))
        net = net.to_empty(device="cpu")
        net.reset(torch.Generator().manual_seed(self.seed))  # PyTorch's own is not touched
        return net.to(device or try_all_gpus()[0])

    def examples(self, of: PretrainingExamples) -> PretrainingExamples:
        """Examples of the same text, with these settings; the held-out ones stay the same."""
        how = {name: getattr(self, name) for name in EXAMPLES}
        return PretrainingExamples(of.vocab, of.text, max_len=of.max_len, valid=of.valid, **how)


# Of `python -m bert_tutorial.pretrain`, by the name of the corpus; found by benchmarks/search.py.
RECIPES = {
    "bundled": RunSettings(
        num_steps=2600, batch_size=128, mask_rate=0.5, sentences_per_segment=(1, 2, 3),
        next_sentence_rate=1.0, num_hiddens=168, ffn_num_hiddens=336, num_heads=4, dropout=0.1,
        embedding_rate=0.5, sampled_words=2048,
    ),
    "wikitext-2": RunSettings(
        num_steps=6000, batch_size=128, mask_rate=0.25, sentences_per_segment=(1, 2),
        next_sentence_rate=1.0, dropout=0.0, embedding_rate=0.5, learning_rate=3e-3,
        weight_decay=0.4, sampled_words=2048,
    ),
}  # fmt: skip
DOCUMENT, MINUTE = "d2l's sizes", "learns in a minute"
PANEL_RECIPES = {
    DOCUMENT: RunSettings(),
    MINUTE: RunSettings(
        num_steps=540, batch_size=128, mask_rate=0.5, sentences_per_segment=(1, 2, 3),
        next_sentence_rate=1.0, dropout=0.0, embedding_rate=0.5, sampled_words=2048,
    ),
}  # fmt: skip


def hash_of(examples: PretrainingExamples) -> str:
    """SHA-256 of what a run is trained and measured on, besides its settings."""
    found = hashlib.sha256(f"{examples.max_len} {' '.join(examples.vocab.itos)}".encode())
    for part in (examples, examples.valid):
        if part is not None:
            found.update(part.text.token_ids.numpy())
    return found.hexdigest()


def read_settings(stored: dict[str, Any]) -> RunSettings:
    """Settings as a saved run has them; a ValueError if they cannot be or are another version's."""
    known = {field.name for field in fields(RunSettings)}
    if stored.keys() != known:
        odd = ", ".join(sorted(known ^ stored.keys()))
        raise ValueError(f"this run is of another version: it differs in the settings {odd}")
    try:
        counts = tuple(stored["sentences_per_segment"])  # JSON has lists only
        settings = RunSettings(**stored | {"sentences_per_segment": counts})
        settings.config(vocab_size=5)  # there is a network of these sizes
        return settings
    except TypeError as error:
        raise ValueError(f"a setting of this run is of a wrong kind: {error}") from error
