"""How to train."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train. d2l's recipe, Adam with a constant rate of 0.01, does not learn."""

    num_steps: int = 50
    learning_rate: float = 5e-3  # at its highest, after the warm-up
    warmup: float = 0.1  # part of the steps in which the learning rate rises; then it falls to 0
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0  # longer gradients are shortened to this length
    precision: str = "auto"  # "bf16", "fp32", or "auto": bf16 where the processor has it
    word_frequencies: bool = True  # the output bias begins as their logarithm
    word_neighbours: bool = True  # see start_from_neighbours
    embedding_rate: float = 1.0  # of the word vectors, as a multiple of learning_rate
    optimizer: str = "muon"  # and AdamW; or "adam", d2l's, at a constant learning rate
    sampled_words: int = 0  # that a step decodes beside its own, see WordSampler; 0 for all words
    seed: int = 0  # of the dropout

    def __post_init__(self):
        is_whole = isinstance(self.num_steps, int) and self.num_steps >= 1
        for name, fits, wanted in (
            ("num_steps", is_whole, "be a whole number of at least 1"),
            ("learning_rate", 0 < self.learning_rate < 1, "lie between 0 and 1, for example 0.005"),
            ("warmup", 0 <= self.warmup <= 1, "be a part of the steps, from 0 to 1"),
            ("embedding_rate", self.embedding_rate >= 0, "be at least 0, for example 0.5"),
            ("sampled_words", self.sampled_words >= 0, "be at least 0, for example 2048"),
            ("weight_decay", self.weight_decay >= 0, "be at least 0, for example 0.01"),
            ("max_grad_norm", self.max_grad_norm > 0, "be above 0, for example 1.0"),
            ("optimizer", self.optimizer in ("muon", "adam"), "be 'muon' or 'adam'"),
            ("precision", self.precision in ("auto", "bf16", "fp32"), "be auto, bf16 or fp32"),
            ("seed", 0 <= self.seed < 2**63, "be from 0 to 2**63 - 1"),
        ):
            if not fits:
                raise ValueError(f"{name} is {getattr(self, name)!r}, but must {wanted}")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0: up in a straight line, then down in one.

        d2l's Adam keeps one rate from the first step to the last.

        >>> settings = Settings(num_steps=5, learning_rate=0.4, warmup=0.4)
        >>> [round(settings.learning_rate_at(step), 2) for step in range(5)]
        [0.2, 0.4, 0.4, 0.27, 0.13]
        """
        if self.optimizer == "adam":
            return self.learning_rate
        rising = (step + 1) / max(1.0, self.warmup * self.num_steps)
        falling = (self.num_steps - step) / max(1.0, (1 - self.warmup) * self.num_steps)
        return self.learning_rate * min(1.0, rising, falling)
