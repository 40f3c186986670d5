"""What the training panel can choose; network, examples and recipe follow from it."""

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from ...devices import try_all_gpus
from ...network.config import BERTConfig
from ...network.model import BERTModel
from ...pretraining.settings import Settings
from ...text.examples import PretrainingExamples


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything that makes a run what it is, but the text. The defaults are d2l's sizes.

    Raises:
        ValueError: From `config`, `examples` and `recipe`: a setting that cannot be.
    """

    num_steps: int = 50
    num_heads: int = 2
    num_layers: int = 2
    num_hiddens: int = 128
    learning_rate: float = 5e-3
    batch_size: int = 512
    mask_rate: float = 0.15
    sentences: int = 1  # in a segment, at most: with 3, batches have 1, 2 and 3 by turns
    dropout: float = 0.2
    embedding_rate: float = 1.0  # of the word vectors, as a multiple of learning_rate
    seed: int = 0
    next_sentence: bool = True  # whether that game is played
    word_frequencies: bool = True  # whether the network begins with them
    optimizer: str = "muon"

    def config(self, vocab_size: int, max_len: int = 512) -> BERTConfig:
        """The sizes of the network."""
        return BERTConfig(
            vocab_size=vocab_size,
            num_hiddens=self.num_hiddens,
            ffn_num_hiddens=2 * self.num_hiddens,
            num_heads=self.num_heads,
            num_layers=self.num_layers,
            dropout=self.dropout,
            max_len=max_len,
        )

    def network(self, vocab_size: int) -> BERTModel:
        """A new network, on the device that trains; PyTorch's own generator is not touched."""
        with torch.device("meta"):
            net = BERTModel.from_config(self.config(vocab_size))
        net = net.to_empty(device="cpu")
        net.reset(torch.Generator().manual_seed(self.seed))
        return net.to(try_all_gpus()[0])

    def examples(self, of: PretrainingExamples) -> PretrainingExamples:
        """Examples of the same text, with these settings; the held-out ones stay the same."""
        return PretrainingExamples(
            of.vocab,
            of.text,
            self.batch_size,
            of.max_len,
            mask_rate=self.mask_rate,
            sentences_per_segment=tuple(range(1, self.sentences + 1)),
            next_sentence_rate=0.5 if self.next_sentence else 1.0,
            seed=self.seed,
            valid=of.valid,
        )

    def recipe(self) -> Settings:
        """How to train."""
        return Settings(
            num_steps=self.num_steps,
            learning_rate=self.learning_rate,
            embedding_rate=self.embedding_rate,
            word_frequencies=self.word_frequencies,
            optimizer=self.optimizer,
            seed=self.seed,
        )


# What each setting is called, in the panel and in the table of runs.
NAMES = {
    "num_steps": "Steps",
    "num_heads": "Heads",
    "num_layers": "Layers",
    "num_hiddens": "Hidden units",
    "learning_rate": "Learning rate",
    "batch_size": "Batch size",
    "mask_rate": "Mask rate, %",
    "sentences": "Sentences per segment",
    "dropout": "Dropout, %",
    "embedding_rate": "Rate of word vectors, %",
    "seed": "Seed",
    "next_sentence": "Next-sentence game",
    "word_frequencies": "Start from word frequencies",
    "optimizer": "Optimizer",
}
PERCENT = ("mask_rate", "dropout", "embedding_rate")
OPTIMIZERS = {"Muon and AdamW": "muon", "Adam, constant rate (d2l's)": "adam"}

DOCUMENT, MINUTE, MINE = "the document's sizes", "learns in a minute", "mine"
RECIPES = {
    DOCUMENT: RunSettings(),
    MINUTE: RunSettings(
        num_steps=430,
        batch_size=128,
        mask_rate=0.4,
        sentences=3,
        dropout=0.0,
        embedding_rate=0.5,
        next_sentence=False,
    ),
}


def recipe_of(settings: RunSettings) -> str:
    """The name of the recipe that these settings are."""
    return next((name for name, recipe in RECIPES.items() if recipe == settings), MINE)


def as_text(name: str, value: Any) -> str:
    """A setting as it is shown.

    >>> as_text("mask_rate", 0.15), as_text("next_sentence", True), as_text("num_steps", 50)
    ('15', 'yes', '50')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "optimizer":
        return {kind: title for title, kind in OPTIMIZERS.items()}[value]
    return f"{100 * value:.4g}" if name in PERCENT else f"{value:g}"


def changes(before: RunSettings, after: RunSettings) -> str:
    """What differs, in words: `Steps 50 → 430, Batch size 512 → 128`; empty if nothing does."""
    one, two = asdict(before), asdict(after)
    return ", ".join(
        f"{title} {as_text(name, one[name])} → {as_text(name, two[name])}"
        for name, title in NAMES.items()
        if one[name] != two[name]
    )


def hash_of(examples: PretrainingExamples) -> str:
    """Of what a run is trained and measured on, besides its settings."""
    found = hashlib.sha256(str(examples.max_len).encode())
    for part in (examples, examples.valid):
        if part is not None:
            found.update(part.text.token_ids.numpy().tobytes())
    return found.hexdigest()


def read_settings(kept: dict[str, Any]) -> RunSettings:
    """Settings as a kept run has them; unknown ones, of another version, are an error.

    Raises:
        ValueError: The run is of another version of this package.
    """
    known = {field.name for field in fields(RunSettings)}
    if kept.keys() != known:
        odd = ", ".join(sorted(known ^ kept.keys()))
        raise ValueError(f"this run is of another version: it differs in the settings {odd}")
    return RunSettings(**kept)
