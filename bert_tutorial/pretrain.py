"""Long pretraining runs from the command line: `python -m bert_tutorial.pretrain --out run`.

Run the same command again, and it goes on where it was: from the last checkpoint, with the losses
that an uninterrupted run would have had. Under `torchrun --nproc-per-node 2 -m
bert_tutorial.pretrain ...` the processes share each batch.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from .cache import write_file
from .devices import machine, pick_dtype, try_all_gpus
from .network.model import BERTModel
from .parallel import Processes, join_processes, own_device
from .pretraining.evaluation import baselines, evaluate
from .pretraining.optimizers import make_optimizers
from .pretraining.settings import Settings
from .pretraining.training import prepare, train_steps
from .representation.senses import mean_accuracy, sense_scores
from .studio.published.checkpoints import save_checkpoint
from .studio.runs.run_store import RunFolder
from .text.corpora import CORPORA, find_corpus, read_text
from .text.examples import PretrainingExamples, load_data_wiki


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; what it leaves open is taken from the corpus's recipe."""
    parser = argparse.ArgumentParser(
        prog="python -m bert_tutorial.pretrain", description="Pretrain a small BERT."
    )
    add = parser.add_argument
    add(
        "--corpus",
        default="bundled",
        help=f"{', '.join(CORPORA)}, or the path of a UTF-8 text file",
    )
    add(
        "--out", type=Path, required=True, help="folder for the checkpoint, the log and the network"
    )
    add("--steps", type=int)
    add("--batch-size", type=int)
    add("--max-len", type=int, default=64)
    add("--mask-rate", type=float)
    add(
        "--sentences-per-segment",
        type=int,
        nargs="+",
        help="several numbers, as in 1 2 3: each batch has another",
    )
    add(
        "--next-sentence-rate",
        type=float,
        help="how often the second segment follows; 1: no NSP loss",
    )
    add("--learning-rate", type=float)
    add("--embedding-rate", type=float, help="of the word vectors, as a multiple of the former")
    add("--weight-decay", type=float)
    add("--sampled-words", type=int, help="how many words a step decodes; 0 for all")
    add("--dropout", type=float)
    add("--min-freq", type=int, help="rarer words become <unk>; fewer words train faster")
    add("--layers", type=int, default=2)
    add("--hidden", type=int, default=128)
    add("--ffn", type=int, default=256)
    add("--heads", type=int, default=2)
    add("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    add("--seed", type=int, default=0)
    add("--save-every", type=int, default=100, help="steps between checkpoints")
    corpus = parser.parse_known_args(arguments)[0].corpus
    entry = find_corpus(corpus)
    parser.set_defaults(**entry.recipe)
    options = parser.parse_args(arguments)
    if isinstance(options.sentences_per_segment, int):
        options.sentences_per_segment = [options.sentences_per_segment]
    if options.save_every < 1:
        raise ValueError(f"--save-every is {options.save_every}, but must be 1 or more")
    if not 0 <= options.seed < 2**63:
        raise ValueError(f"--seed is {options.seed}, but must be from 0 to 2**63 - 1")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on training, and leave the network and its card in the folder."""
    options = parse_arguments(arguments)
    device = own_device(try_all_gpus())
    processes = join_processes(device)
    train_iter, vocab = load_data_wiki(
        options.batch_size,
        options.max_len,
        options.corpus,
        mask_rate=options.mask_rate,
        sentences_per_segment=options.sentences_per_segment,
        next_sentence_rate=options.next_sentence_rate,
        min_freq=options.min_freq,
        seed=options.seed,
    )
    if train_iter.batch_size < processes.world_size:
        raise ValueError(
            f"a batch has {train_iter.batch_size} rows, too few for {processes.world_size} "
            "processes"
        )
    net = BERTModel(
        len(vocab),
        options.hidden,
        options.ffn,
        options.heads,
        options.layers,
        options.dropout,
        max(64, options.max_len),
    )
    net.reset(torch.Generator().manual_seed(options.seed))
    train(net.to(device), train_iter, options, processes)


def train(
    net: BERTModel,
    train_iter: PretrainingExamples,
    options: argparse.Namespace,
    processes: Processes,
) -> None:
    """Take the steps that are left, with a log and checkpoints; then measure and save."""
    recipe = Settings(
        num_steps=options.steps,
        learning_rate=options.learning_rate,
        embedding_rate=options.embedding_rate,
        weight_decay=options.weight_decay,
        sampled_words=options.sampled_words,
        precision=options.precision,
        seed=options.seed,
    )
    optimizers = make_optimizers(net, recipe)
    settings = {k: str(v) for k, v in vars(options).items() if k not in ("out", "save_every")}
    settings["precision"] = str(pick_dtype(options.precision, next(net.parameters()).device))
    for name in ("word_frequencies", "word_neighbours"):
        settings[name] = str(getattr(recipe, name))
    settings["processes"] = str(processes.world_size)
    settings["text"] = hash_of_text(options.corpus)
    settings["optimizers"] = ", ".join(type(optimizer).__name__ for optimizer in optimizers)
    folder, is_first = RunFolder(options.out), processes.rank == 0
    if is_first:
        folder.open()
    prepare(net, train_iter, recipe)
    done = folder.load(net, optimizers, settings)
    processes.agree("settings", settings)
    processes.agree("checkpoints", done)
    processes.agree("weights", sum(p.double().sum().item() for p in net.parameters()))
    if is_first:
        if done:
            print(f"going on after step {done} of {options.steps}")
        seconds = folder.shorten_log(done)
    steps = train_steps(
        net, train_iter, recipe, optimizers=optimizers, first_step=done, processes=processes
    )
    for step in tqdm(steps, total=options.steps, initial=done, unit="step", disable=not is_first):
        if is_first:
            folder.add_to_log(step._asdict())
            seconds += step.seconds
            if step.step % options.save_every == 0 or step.step == options.steps:
                folder.save(net, optimizers, step.step, settings)
    processes.leave()
    if is_first:
        folder.close()
        finish(net, train_iter, options.corpus, folder, settings, seconds)


def hash_of_text(corpus: str) -> str:
    """SHA-256 of both parts of a corpus: a run does not go on with another text."""
    text = read_text(corpus)
    return hashlib.sha256(f"{text.train}\0{text.valid}".encode()).hexdigest()


def finish(
    net: BERTModel,
    train_iter: PretrainingExamples,
    corpus: str,
    folder: RunFolder,
    settings: dict[str, str],
    seconds: float,
) -> None:
    """Measure the trained network, and save it with its card."""
    device, vocab = next(net.parameters()).device, train_iter.vocab
    net.half().float()  # what is measured is what will be written
    about = settings | {
        "parameters": f"{sum(p.numel() for p in net.parameters()):,}",
        "machine": machine(device),
        "training_time": f"{seconds:.0f} s",
        "held_out": str(evaluate(net, train_iter.valid)),
        "without_context": str(baselines(train_iter)),
    }
    if scores := sense_scores(net.cpu(), vocab, read_text(corpus)):
        about["senses"] = (
            f"{mean_accuracy(scores):.1%} of held-out occurrences right, mean of {len(scores)} "
            "words: " + ", ".join(f"{word} {score.accuracy:.0%}" for word, score in scores.items())
        )
    else:
        about["senses"] = "not measured: no word of this text has its senses marked"
    about["licence"] = find_corpus(corpus).licence
    save_checkpoint(net, vocab, folder.network, torch.float16, **about)
    write_file(folder.model_card, model_card(about).encode())
    for name in ("held_out", "without_context", "senses"):
        print(f"{name}: {about[name]}")


def model_card(about: dict[str, Any]) -> str:
    """What one has to know of a network before one uses it, as Markdown."""
    lines = [
        f"# A small BERT, pretrained on {about['corpus']}",
        "",
        "Made by `python -m bert_tutorial.pretrain`, for learning about BERT. It knows the words",
        "of its training text only, and is of no use for anything else.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {value} |" for name, value in about.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")
