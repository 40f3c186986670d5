"""`python benchmarks/five_minutes.py`: what five minutes on WikiText-2 give, with the recipe that the search found.

Trains twice from nothing: on the text as it is, for the losses, and on the text with pseudowords, for the senses.
"""

import json

import torch
from bench import HERE, MACHINE, put_into_readme
from search import BEST, train

from bert_tutorial import load_data_wiki, yardsticks

CORPUS, STEPS = "wikitext-2", 3200


def main() -> None:
    recipe = BEST[CORPUS]
    runs = [
        train(CORPUS, STEPS * recipe["batch_size"], torch.get_num_threads(), **recipe, pseudowords=pseudowords)
        for pseudowords in (False, True)
    ]
    plain, merged = runs
    train_iter, vocab = load_data_wiki(recipe["batch_size"], 64, CORPUS)
    known = yardsticks(vocab, train_iter.valid)
    lines = [
        f"{MACHINE}; {STEPS} steps of {recipe['batch_size']} pairs.",
        "",
        "| | untrained or without context | after training | seconds |",
        "|---|---|---|---|",
        f"| held-out MLM loss | {known.unigram:.2f} | {plain['mlm_loss']:.2f} | {plain['seconds']:.0f} |",
        f"| masked words right | {known.unigram_accuracy:.1%} | {plain['mlm_accuracy']:.1%} | |",
        f"| pseudoword senses right ({len(merged['by_word'])} pairs) | {merged['untrained']:.1%} | {merged['senses']:.1%} "
        f"| {merged['seconds']:.0f} |",
        "",
        "By pair: "
        + ", ".join(f"{word.replace('|', '/')} {value:.0%}" for word, value in merged["by_word"].items())
        + ".",
    ]
    results = {"machine": MACHINE, "recipe": recipe, "steps": STEPS, "plain": plain, "pseudowords": merged}
    (HERE / "results" / "five_minutes.json").write_text(json.dumps(results, indent=1) + "\n")
    put_into_readme("five minutes", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
