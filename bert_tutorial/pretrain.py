"""Long pretraining runs from the command line: `python -m bert_tutorial.pretrain --out run`.

Run the same command again, and it goes on where it was: from the last checkpoint, with the losses
that an uninterrupted run would have had. Under `torchrun --nproc-per-node 2 -m
bert_tutorial.pretrain ...` the processes share each batch, on one machine or on many.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import fields, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TextIO

import torch
from tqdm import tqdm
from tqdm.utils import ObjectWrapper

from .devices import machine, pick_dtype, try_all_gpus
from .exercises.memory import count_parameters, told_bytes
from .network.config import BERTConfig
from .network.model import BERTModel
from .parallel import join_processes, own_device
from .pretraining.evaluation import baselines, evaluate, evaluate_parts
from .pretraining.optimizers import make_optimizers
from .pretraining.training import train_steps
from .representation.senses import mean_accuracy, sense_scores
from .studio.published.checkpoints import save_checkpoint, write_card
from .studio.published.wordpiece import train_wordpiece
from .studio.runs.fits import check_fits
from .studio.runs.saved_runs import SavedRun
from .studio.runs.settings import EXAMPLES, RECIPES, SIZES, RunSettings, hash_of
from .text.corpora import CORPORA, find_corpus
from .text.examples import PretrainingExamples, load_data_wiki
from .text.own_file import describe_own_text, is_large
from .text.vocabulary import Vocab
from .text.wikitext_format import Corpus

# Each setting is an option of its name, or of a shorter one.
SHORTER = {
    "num_steps": "steps", "num_layers": "layers", "num_hiddens": "hidden",
    "ffn_num_hiddens": "ffn", "num_heads": "heads",
}  # fmt: skip
SIZES_OF = {"small": BERTConfig.small, "base": BERTConfig.base, "large": BERTConfig.large}
HELP = {
    "sentences_per_segment": "several numbers, as in 1 2 3: each batch has another",
    "next_sentence_rate": "how often the second segment follows; 1: no NSP loss",
    "embedding_rate": "of the word vectors, as a multiple of the learning rate",
    "sampled_words": "how many words a step decodes; 0 for all",
    "min_freq": "rarer words become <unk>; fewer words train faster",
}
OTHER_NUMBER = (
    " So far it was trained by {} processes, now by {}: dropout draws other numbers, so the losses "
    "are not those of a run without a change."
)


class Command(NamedTuple):
    """What was typed, or is the recipe of the corpus."""

    corpus: str
    out: Path
    save_every: int  # steps between checkpoints
    checkpointing: bool
    word_pieces: int  # entries of the vocabulary; 0: the words of the text
    settings: RunSettings


def parse(arguments: Sequence[str] | None) -> Command:
    """Read the options."""
    parser = argparse.ArgumentParser("python -m bert_tutorial.pretrain", description=main.__doc__)
    add = parser.add_argument
    corpora = f"{', '.join(CORPORA)}, or the path of a UTF-8 text file, a folder or a pattern"
    add("--corpus", default="bundled", help=corpora)
    add("--out", type=Path, required=True, help="folder for checkpoint, log and network")
    add("--save-every", type=int, default=100, help="steps between checkpoints")
    add("--size", choices=SIZES_OF, help="of the network: d2l's, or a published one")
    twice = "compute each layer twice: far less memory, about a third more time"
    add("--checkpointing", action="store_true", help=twice)
    pieces = "so many word pieces, learned from the text, in place of its words"
    add("--word-pieces", type=int, default=0, help=pieces)
    of_type = {bool: {"action": argparse.BooleanOptionalAction}}
    of_type |= {tuple: {"type": int, "nargs": "+"}, type(None): {"type": int}}
    for field in fields(RunSettings):
        how = of_type.get(type(field.default), {"type": type(field.default)})
        option = f"--{SHORTER.get(field.name, field.name).replace('_', '-')}"
        add(option, dest=field.name, default=argparse.SUPPRESS, help=HELP.get(field.name), **how)
    given = vars(parser.parse_args(arguments))
    names = "corpus", "out", "save_every", "size", "checkpointing", "word_pieces"
    corpus, out, save_every, size, *how = (given.pop(name) for name in names)
    if size is not None:
        config = SIZES_OF[size](vocab_size=5)
        given = {name: getattr(config, name) for name in SIZES} | given
    if how[1] < 0 or 0 < how[1] < 500:
        raise ValueError(f"--word-pieces is {how[1]}, but must be 500 or more, or 0 for words")
    if save_every < 1:
        raise ValueError(f"--save-every is {save_every}, but must be 1 or more")
    find_corpus(corpus)  # there is one
    if "sentences_per_segment" in given:
        given["sentences_per_segment"] = tuple(given["sentences_per_segment"])
    recipe = RECIPES.get(corpus, RECIPES["bundled"])
    return Command(corpus, out, save_every, *how, replace(recipe, **given))


def main(arguments: Sequence[str] | None = None) -> None:
    """Pretrain a small BERT, or go on; leaves the network and its card in a folder."""
    corpus, out, save_every, checkpointing, word_pieces, settings = parse(arguments)
    device = own_device(try_all_gpus())
    processes, last = join_processes(device), settings.num_steps
    train_iter, vocab = processes.work(partial(read_examples, corpus, settings, word_pieces))
    config, how = settings.config(len(vocab), settings.max_len), dict(checkpointing=checkpointing)
    need = check_fits(config, train_iter, settings, processes=processes.world_size, **how)
    net = settings.network(len(vocab), settings.max_len, device)  # no position is never trained
    net.encoder.checkpointing = checkpointing
    optimizers = make_optimizers(net, settings)
    about = {"corpus": corpus}
    about |= {SHORTER.get(name, name): str(value) for name, value in vars(settings).items()}
    about["precision"] = str(pick_dtype(settings.precision, device))
    about["optimizer"] = ", ".join(type(optimizer).__name__ for optimizer in optimizers)
    about |= {"text": hash_of(train_iter)}
    about |= {"word_pieces": str(len(vocab))} if word_pieces else {}
    versions = f"bert_tutorial {metadata.version('bert_tutorial')}, PyTorch {torch.__version__}"
    alike = about | {"save_every": str(save_every), "versions": versions}
    processes.agree({name: said for name, said in alike.items() if name != "corpus"})  # a path
    record = {"settings": about, "processes": processes.world_size}
    with closing(SavedRun(out, record, "use another folder (--out)")) as run:
        # The one with the newest checkpoint: after a restart another process may be the first.
        steps_done = [int(done) for done in processes.gather(str(run.checkpoint_step()))]
        processes = processes._replace(keeper=steps_done.index(max(steps_done)))
        done = seconds = 0
        if processes.is_keeper:
            run.open()
            before = json.loads((out / "record.json").read_text("utf-8")).get("processes", 1)
            run.update()
            done = run.load(net, optimizers)
            count, size = count_parameters(config), told_bytes(need.total)
            print(f"{count:,} parameters; a step's tensors take {size} in each process")
            run.write_log(logged := run.steps(done))
            seconds = sum(step.seconds for step in logged)
            if done:
                note = OTHER_NUMBER.format(before, processes.world_size)
                is_other = settings.dropout and before != processes.world_size
                print(f"going on after step {done} of {last}.{run.note}{note if is_other else ''}")
        how = dict(optimizers=optimizers, first_step=done, processes=processes)
        steps = train_steps(net, train_iter, settings, **how)
        is_first = processes.is_keeper
        for step in tqdm(steps, total=last, initial=done, unit="step", disable=not is_first):
            if is_first:
                run.add(step)
                seconds += step.seconds
            if step.step % save_every == 0 or step.step == last:
                save = partial(run.save, net, optimizers, step.step)
                processes.work(save if is_first else int)
        about |= {"processes": str(processes.world_size), "training_time": f"{seconds:.0f} s"}
        # The others wait: whoever left first would end what torchrun has started.
        last_work = partial(finish, net, train_iter, corpus, out, about)
        processes.work(last_work if is_first else int)
    processes.leave()


def read_examples(
    corpus: str, settings: RunSettings, word_pieces: int = 0
) -> tuple[PretrainingExamples, Vocab]:
    """The text as training examples, and its vocabulary."""
    if corpus not in CORPORA and os.environ.get("LOCAL_RANK", "0") == "0":
        print(describe_own_text(Path(corpus).expanduser()))
    of_examples = {name: getattr(settings, name) for name in (*EXAMPLES, "max_len", "min_freq")}
    vocab = train_wordpiece(corpus, word_pieces, settings.seed) if word_pieces else None
    return load_data_wiki(corpus=corpus, vocab=vocab, **of_examples)


def finish(
    net: BERTModel, train_iter: PretrainingExamples, corpus: str, out: Path, about: dict[str, str]
) -> None:
    """Measure the trained network, and save it with its card."""
    device, vocab, entry = next(net.parameters()).device, train_iter.vocab, find_corpus(corpus)
    net.half().float()  # what is measured is what will be written
    about |= {
        "parameters": f"{sum(p.numel() for p in net.parameters()):,}",
        "machine": machine(device),
        "held_out": str(evaluate(net, train_iter.valid)),
        "without_context": str(baselines(train_iter)),
        "senses": "not measured: no word of this text has its senses marked",
        "licence": entry.licence,
    }
    text = Corpus(corpus, "", "") if is_large(entry.files) else entry.read()
    for part, of_part in evaluate_parts(net, train_iter.valid, text).items():
        about[f"held_out_{part}"] = of_part.masked_words
    if scores := sense_scores(net.cpu(), vocab, text):
        about["senses"] = (
            f"{mean_accuracy(scores):.1%} of held-out occurrences right, mean of {len(scores)} "
            "words: " + ", ".join(f"{word} {score.accuracy:.0%}" for word, score in scores.items())
        )
    save_checkpoint(net, vocab, out / "network.safetensors", torch.float16, **about)
    made = "`python -m bert_tutorial.pretrain`"
    write_card(out, f"A small BERT, pretrained on {corpus}", made, about)
    for name in ("held_out", "without_context", "senses"):
        print(f"{name}: {about[name]}")


def best_effort(file: TextIO | None) -> TextIO:
    """A file in which messages may be lost: who reads them may be gone."""
    file = ObjectWrapper(file or open(os.devnull, "w"))

    def attempt(do: Callable, *what: str) -> None:
        with suppress(OSError, ValueError):
            do(*what)

    for name in ("write", "flush"):
        file.wrapper_setattr(name, partial(attempt, getattr(file, name)))
    return file


if __name__ == "__main__":
    sys.stdout, sys.stderr = map(best_effort, (sys.stdout, sys.stderr))
    try:
        main()
    except ConnectionError as error:
        print(error, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(1)  # tidying up with a process that is gone, PyTorch may abort this one
    except (ValueError, OSError, FloatingPointError, MemoryError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")
