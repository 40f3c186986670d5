"""`python benchmarks/typed.py`: what the networks know of sentences that somebody typed.

There are two sets of sentences, each by somebody who had not read the corpora. Recipes may be
chosen by typed/choice_*.tsv. typed/test_masked.tsv, and the senses that come with the package, are
kept apart from every choice; the tables are made of them.

- *_senses.tsv: a word with two senses, the sense, a short sentence.
- *_masked.tsv: a sentence with `<mask>`, and the words that are acceptable there.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from report import keep, put_into_readme, with_table
from torch.nn import functional as F

from bert_tutorial import BERTModel, Vocab, fill_mask, load_data_wiki, load_pretrained, read_text
from bert_tutorial.network.losses import read_out
from bert_tutorial.pretraining.evaluation import Between
from bert_tutorial.representation.occurrences import labelled_occurrences
from bert_tutorial.studio.lab.lab import NETWORKS, Lab
from bert_tutorial.studio.lab.typed import TypedSense, score_typed, typed_senses
from bert_tutorial.text.wikitext_format import Corpus, paragraphs

TYPED = Path(__file__).parent / "typed"
SURE = 0.3  # a first guess as probable as this is compared with how often it is right


class Masked(NamedTuple):
    sentence: str
    acceptable: set[str]


def read_senses(name: str) -> list[TypedSense]:
    """The sentences to choose by, or ("test") those that come with the package."""
    return typed_senses() if name == "test" else typed_senses(TYPED / f"{name}_senses.tsv")


def read_masked(name: str) -> list[Masked]:
    lines = (line.split("\t") for line in (TYPED / f"{name}_masked.tsv").read_text().splitlines())
    return [Masked(sentence, set(words.split(","))) for sentence, words in lines]


def held_out_sentences(text: Corpus) -> list[TypedSense]:
    """The held-out sentences with a labelled word, as if somebody had typed each by itself."""
    read, found = paragraphs(text.valid), []
    for word, occurrences in labelled_occurrences(text.valid).items():
        for o in occurrences:
            sentence = read[o.paragraph][o.sentence]
            if sentence.count(word) == 1:
                found.append(TypedSense(word, o.sense, " ".join(sentence)))
    return found


def masked_right(net: BERTModel, vocab: Vocab, typed: list[Masked]) -> dict[str, float]:
    """How often an acceptable word is among the first five, and how right sure guesses are.

    "repeats": how often the first guess is a word of the sentence, and not acceptable.
    """
    first_five, repeats, sure = 0, 0, []
    for sentence, acceptable in typed:
        (guesses,) = fill_mask(net, vocab, sentence)
        first_five += any(guess.token in acceptable for guess in guesses)
        repeats += guesses[0].token in {*vocab.tokenize(sentence)} - acceptable
        if guesses[0].probability >= SURE:
            sure.append((guesses[0].probability, guesses[0].token in acceptable))
    return {
        "first_five": first_five / len(typed),
        "repeats": repeats / len(typed),
        "sure": len(sure),
        "sure_says": sum(probability for probability, _ in sure) / max(1, len(sure)),
        "sure_right": sum(right for _, right in sure) / max(1, len(sure)),
    }


def masked_right_between(corpus: str, typed: list[Masked]) -> dict[str, float]:
    """The same for the word that stood most often between two such neighbours: no network."""
    train_iter, vocab = load_data_wiki(corpus=corpus)
    between, mask, first_five = Between(train_iter.text, vocab), vocab.to_tokens(vocab.mask_id), 0
    for sentence, acceptable in typed:
        tokens = vocab.tokenize(sentence)
        around = [vocab.sep_id, *vocab[tokens], vocab.sep_id]
        place = 1 + tokens.index(mask)
        left, right = (torch.tensor([around[place + step]]) for step in (-1, 1))
        p = between(left, right)[0]
        p[list(vocab.special_ids)] = 0
        first_five += not acceptable.isdisjoint(vocab.to_tokens(p.topk(5).indices.tolist()))
    return {"first_five": first_five / len(typed)}


BINS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # of the first guess's probability


def reliability(guesses: list[tuple[float, bool]]) -> list[tuple[int, float, float]]:
    """For each of BINS: how many first guesses, how probable they are, how often they are right."""
    probability, right = torch.tensor(guesses, dtype=torch.float64).T
    found = []
    for low, high in pairwise(BINS):
        some = (low < probability) & (probability <= high)
        if some.any():
            means = probability[some].mean().item(), right[some].mean().item()
            found.append((int(some.sum()), *means))
    return found


@torch.no_grad()
def held_out_guesses(net: BERTModel, vocab: Vocab, corpus: str) -> list[tuple[float, bool]]:
    """The first guess at each masked place that `evaluate` sees: its probability; is it right?"""
    valid, found = load_data_wiki(corpus=corpus)[0].valid, []
    for i in range(len(valid)):
        features, _, labels = read_out(net, valid.batch(0, i).trim())
        best = F.linear(features, net.word_vectors, net.mlm.bias).softmax(1).max(1)
        right = (best.indices == labels).tolist()
        found += zip(best.values.tolist(), right, strict=True)
    return found


def typed_guesses(net: BERTModel, vocab: Vocab, typed: list[Masked]) -> list[tuple[float, bool]]:
    """The same for typed sentences, where each acceptable word is right."""
    best = [(fill_mask(net, vocab, sentence)[0][0], words) for sentence, words in typed]
    return [(guess.probability, guess.token in words) for guess, words in best]


def best_temperature(guesses: list[tuple[float, bool]], least=0.5, most=3.0) -> float:
    """By what to divide the log odds of first guesses, so that they are right as they say.

    The one with the lowest log loss of "is the first guess acceptable?".
    """
    said, right = torch.tensor(guesses, dtype=torch.float64).T
    losses = {
        t: F.binary_cross_entropy_with_logits(said.logit(1e-6) / t, right).item()
        for t in torch.arange(least, most, 0.05).tolist()
    }
    return round(min(losses, key=losses.get), 2)


def draw_calibration(found: dict[str, list]) -> None:
    """calibration.png: a point on the dashed line is right as often as it says."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    for axes, corpus in zip(
        figure.subplots(1, 2, sharey=True), ("bundled", "wikitext-2"), strict=True
    ):
        axes.plot([0, 1], [0, 1], "--", color="grey")
        kinds = ("held-out text", "o-", (-28, 5)), ("typed sentences", "s:", (4, -9))
        for kind, style, offset in kinds:
            numbers, says, right = zip(*found[f"{corpus}, {kind}"], strict=True)
            axes.plot(says, right, style, label=kind)
            for number, x, y in zip(numbers, says, right, strict=True):
                axes.annotate(
                    f"{number:,}", (x, y), fontsize=7, textcoords="offset points", xytext=offset
                )
        axes.set(title=f"network of {corpus}", xlabel="probability of the first guess")
        axes.legend()
    figure.axes[0].set_ylabel("how often it is right")
    figure.savefig(TYPED.parent / "calibration.png", dpi=120)


def measure_calibration() -> dict[str, list]:
    """For both networks, on held-out text and on all typed sentences: see `reliability`."""
    found, typed = {}, read_masked("test") + read_masked("choice")
    for corpus in ("bundled", "wikitext-2"):
        net, vocab, _ = load_pretrained(corpus, "shipped")
        found[f"{corpus}, held-out text"] = reliability(held_out_guesses(net, vocab, corpus))
        found[f"{corpus}, typed sentences"] = reliability(typed_guesses(net, vocab, typed))
    return found


def measure(name: str) -> dict[str, dict[str, float]]:
    """All figures on one of the two sets; the senses of all networks by the bundled corpus."""
    senses, masked, text, found = read_senses(name), read_masked(name), read_text("bundled"), {}
    for corpus, suffix in (("bundled", ""), ("wikitext-2", " of WikiText-2")):
        net, vocab, _ = load_pretrained(corpus, "shipped")
        lab = Lab(net, vocab, text)
        score = score_typed(lab, senses)
        for which in NETWORKS:
            right = masked_right(lab.nets[which], vocab, masked)
            found[f"{which}{suffix}"] = right | {"senses": score.senses[which]}
        found[f"network{suffix}"] |= {"alike": score.alike, "cosine": score.cosine}
        between = masked_right_between(corpus, masked)
        found[f"two neighbours, counted{suffix and ' in WikiText-2'}"] = between
        found.setdefault("a bag of words", {"senses": score.senses["bag of words"]})
        single = score_typed(lab, held_out_sentences(text)).senses
        for row, which in ((f"network{suffix}", "network"), (f"untrained{suffix}", "untrained")):
            found[row]["single"] = single[which]
        found["a bag of words"]["single"] = single["bag of words"]
    return found


def table(found: dict[str, dict[str, float]], num_senses: int, num_masked: int) -> str:
    """A row for each network or control."""
    about = (
        f"The networks in the package. {num_senses} sentences for the senses, all labels told; "
        f"{num_masked} sentences with a masked word. A sure guess has {SURE:.0%} or more."
    )
    rows = []
    for name, figures in found.items():
        row = [name, *(f"{figures[k]:.1%}" if k in figures else "" for k in ("senses", "single"))]
        row += [f"{figures[name]:.3f}" if name in figures else "" for name in ("alike", "cosine")]
        row += [f"{figures[k]:.0%}" if k in figures else "" for k in ("first_five", "repeats")]
        row.append(f"{figures['sure']:.0f}" if "sure" in figures else "")
        is_any = figures.get("sure", 0) > 0
        row += [f"{figures[f'sure_{w}']:.0%}" if is_any else "" for w in ("says", "right")]
        rows.append(row)
    header = ["", "senses right", "in held-out sentences, each by itself"]
    header += ["pairs in order, as the lab shows them", "by plain cosine"]
    header += ["acceptable word among the first five", "first guess repeats a word", "sure guesses"]
    return with_table(about, [*header, "they say", "they are right"], rows)


def main() -> None:
    found = measure("test")
    keep("typed", found)
    calibration = measure_calibration()
    keep("calibration", calibration)
    draw_calibration(calibration)
    put_into_readme("typed", table(found, len(read_senses("test")), len(read_masked("test"))))
    for name, figures in measure("choice").items():
        print(name, {key: round(value, 3) for key, value in figures.items()})
    for corpus in ("bundled", "wikitext-2"):
        net, vocab, _ = load_pretrained(corpus, "shipped")
        found = best_temperature(typed_guesses(net, vocab, read_masked("choice")))
        print(f"{corpus}: best temperature on the sentences to choose by: {found}")


if __name__ == "__main__":
    main()
