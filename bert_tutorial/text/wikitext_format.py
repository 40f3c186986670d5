"""WikiText's format: one paragraph a line, tokens between single spaces, sentences ended by ` . `.

All texts arrive in this format, so one reader, `paragraphs`, serves all of them.

Source: Merity et al. 2016, "Pointer Sentinel Mixture Models", section 4.
"""

from typing import NamedTuple


class Corpus(NamedTuple):
    """A text in WikiText's format, split in two."""

    name: str  # "bundled", "wikitext-2" or the name of your file
    train: str  # the paragraphs to learn from
    valid: str  # the paragraphs held out
    parts: tuple["Corpus", ...] = ()  # of which it is put together, one after the other; () of none

    def part_names(self, split: str) -> list[str]:
        """From which part each paragraph of "train" or "valid" is; [] for a text without parts."""
        return [p.name for p in self.parts for _ in paragraphs(getattr(p, split))]


def paragraphs(text: str) -> list[list[list[str]]]:
    r"""Cut a text in WikiText's format into paragraphs of sentences of lower-cased tokens.

    >>> paragraphs(" = Cranes = \n\n Cranes dance . They fly far . \n")
    [[['cranes', 'dance'], ['they', 'fly', 'far']]]

    Lines without a sentence end (headings, blank lines) are skipped.

    Returns:
        Token `[k]` of sentence `[j]` of paragraph `[i]`. The ` . ` between sentences is no token.
    """
    found = []
    for line in text.split("\n"):
        if " . " in line:
            # With spaces around the line its last ` . ` counts as an end too; d2l keeps that full
            # stop.
            sentences = [part.split() for part in f" {line.strip().lower()} ".split(" . ")]
            found.append([sentence for sentence in sentences if sentence])
    return [sentences for sentences in found if sentences]
