"""Long pretraining runs from the command line: `python -m bert_tutorial.pretrain --corpus wikitext-2 --out run`.

Run the same command again, and it goes on where it was: from the last checkpoint, with the losses that an uninterrupted run
would have had. Under `torchrun --nproc-per-node 2 -m bert_tutorial.pretrain ...` the processes share each batch.
"""

import argparse
import json
import os
import platform
import sys
from itertools import chain
from pathlib import Path
from typing import TextIO

import torch
from safetensors import safe_open
from tqdm import tqdm

from .corpus import read_text
from .examples import load_data_wiki
from .losses import evaluate, yardsticks
from .model import BERTModel
from .optimizers import make_optimizers
from .pretrained import save_checkpoint, write_safetensors
from .senses import mean_accuracy, sense_scores
from .training import Recipe, pick_dtype, train_steps, try_all_gpus

# For each corpus what the search in benchmarks/README.md found; a text of your own begins with the bundled corpus's.
RECIPES = {
    "bundled": dict(steps=1300, batch_size=128, mask_rate=0.4, span=2, next_share=1.0, dropout=0.1, learning_rate=5e-3),
    "wikitext-2": dict(
        steps=6000, batch_size=64, mask_rate=0.4, span=2, next_share=1.0, dropout=0.0, learning_rate=3e-3
    ),
}
LICENCES = {
    "bundled": "CC0 1.0, as the text",
    "wikitext-2": "CC BY-SA 3.0, as the text: WikiText-2 by Merity et al. 2016, from articles of English Wikipedia",
}


def parse_arguments(arguments=None) -> argparse.Namespace:
    """The command line; what it leaves open is taken from the corpus's recipe."""
    parser = argparse.ArgumentParser(prog="python -m bert_tutorial.pretrain", description="Pretrain a small BERT.")
    add = parser.add_argument
    add("--corpus", default="bundled", help="bundled, wikitext-2, or the path of a UTF-8 text file")
    add("--out", type=Path, required=True, help="folder for the checkpoint, the log and the network")
    add("--steps", type=int)
    add("--batch-size", type=int)
    add("--max-len", type=int, default=64)
    add("--mask-rate", type=float)
    add("--span", type=int, help="sentences in a segment")
    add("--next-share", type=float, help="how often the second segment follows the first; 1: no NSP loss")
    add("--learning-rate", type=float)
    add("--dropout", type=float)
    add("--layers", type=int, default=2)
    add("--hidden", type=int, default=128)
    add("--ffn", type=int, default=256)
    add("--heads", type=int, default=2)
    add("--precision", choices=("auto", "bf16", "fp32"), default="auto")
    add("--seed", type=int, default=0)
    add("--save-every", type=int, default=100, help="steps between checkpoints")
    corpus = parser.parse_known_args(arguments)[0].corpus
    parser.set_defaults(**RECIPES.get(corpus, RECIPES["bundled"]))
    return parser.parse_args(arguments)


def save_state(path: Path, net: BERTModel, optimizers, step: int, settings: dict) -> None:
    """Write all that a run needs to go on: weights, optimizers and step; the rest follows from the settings."""
    tensors = {f"net.{name}": p.detach() for name, p in net.named_parameters()}
    name_of = {p: name for name, p in net.named_parameters()}
    for p, state in chain.from_iterable(optimizer.state.items() for optimizer in optimizers):
        tensors |= {f"optimizer.{name_of[p]}.{key}": value for key, value in state.items()}
    write_safetensors(path, tensors, {"step": step, "settings": settings})


def load_state(path: Path, net: BERTModel, optimizers, settings: dict) -> int:
    """Read what `save_state` wrote into a network and its optimizers.

    Returns:
        Steps done.

    Raises:
        ValueError: The run was begun with other settings.
    """
    with safe_open(path, "pt") as file:
        about = {name: json.loads(value) for name, value in file.metadata().items()}
        before = about["settings"]
        names = [name for name in before | settings if before.get(name) != settings.get(name)]
        other = [f"{name} {before.get(name)!r}, now {settings.get(name)!r}" for name in names]
        if other:
            raise ValueError(f"the run in {path.parent} was begun with {'; '.join(other)}: use that, or another --out")
        owner = {p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
        with torch.no_grad():
            for name, p in net.named_parameters():
                p.copy_(file.get_tensor(f"net.{name}"))
                prefix = f"optimizer.{name}."  # a part without a loss has no state
                keys = [key for key in file.keys() if key.startswith(prefix)]
                owner[p].state[p] = {key.removeprefix(prefix): file.get_tensor(key).to(p.device) for key in keys}
    return about["step"]


def machine(device: torch.device) -> str:
    """What computes, in one line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        about = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        # One name can stand for processors of several generations, which differ twofold in the speed of matrix products.
        name = f"{about['model name']} (family {about['cpu family']}, model {about['model']})"
    except (OSError, KeyError):
        name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}, host {name}"
    return (
        f"{name}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {platform.system()}, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}"
    )


def model_card(about: dict[str, str]) -> str:
    """What one has to know of a network before one uses it, as Markdown."""
    lines = [
        f"# A small BERT, pretrained on {about['corpus']}",
        "",
        "Made by `python -m bert_tutorial.pretrain`, for learning about BERT. It knows the words of its training text only, and",
        "is of no use for anything else.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name.replace('_', ' ')} | {value} |" for name, value in about.items()),
    ]
    return "\n".join(lines) + "\n"


def open_log(path: Path, done: int) -> tuple[TextIO, float]:
    """Open the log behind its first `done` steps; what a killed run wrote behind its last checkpoint will be done again.

    Returns:
        The file, and the seconds that the steps in it took.
    """
    kept = path.read_text().splitlines()[:done] if path.exists() else []
    log = path.open("w")
    log.writelines(f"{line}\n" for line in kept)
    return log, sum(json.loads(line)["seconds"] for line in kept)


def main(arguments=None) -> None:
    """Train, or go on training, and leave `network.safetensors` in the folder."""
    options = parse_arguments(arguments)
    settings = {name: str(value) for name, value in vars(options).items() if name not in ("out", "save_every")}
    settings["optimizers"] = "Muon, AdamW"
    process, num_processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device = try_all_gpus()[int(os.environ.get("LOCAL_RANK", 0)) if torch.cuda.is_available() else 0]
    if num_processes > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    train_iter, vocab = load_data_wiki(
        options.batch_size,
        options.max_len,
        options.corpus,
        mask_rate=options.mask_rate,
        span=options.span,
        next_share=options.next_share,
        seed=options.seed,
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
    net.to(device)
    recipe = Recipe(
        num_steps=options.steps, learning_rate=options.learning_rate, precision=options.precision, seed=options.seed
    )
    optimizers = make_optimizers(net, recipe.learning_rate, recipe.weight_decay)
    checkpoint, done = options.out / "checkpoint.safetensors", 0
    if checkpoint.is_file():
        done = load_state(checkpoint, net, optimizers, settings)
        if process == 0:
            print(f"going on after step {done} of {options.steps}")
    options.out.mkdir(parents=True, exist_ok=True)

    if process == 0:
        log, seconds = open_log(options.out / "log.jsonl", done)
    steps = train_steps(
        net, train_iter, recipe, optimizers=optimizers, first_step=done, process=process, num_processes=num_processes
    )
    for step in tqdm(steps, total=options.steps, initial=done, unit="step", disable=process > 0):
        if process > 0:
            continue
        log.write(json.dumps(step._asdict()) + "\n")
        seconds += step.seconds
        if step.step % options.save_every == 0 or step.step == options.steps:
            log.flush()
            save_state(checkpoint, net, optimizers, step.step, settings)
    if num_processes > 1:
        torch.distributed.destroy_process_group()
    if process == 0:
        log.close()
        text = read_text(options.corpus)
        net.half().float()  # what is measured is what will be written
        about = settings | {
            "precision": str(pick_dtype(options.precision, device)),
            "parameters": f"{sum(p.numel() for p in net.parameters()):,}",
            "machine": machine(device),
            "training_time": f"{seconds:.0f} s",
            "held_out": str(evaluate(net, train_iter.valid)),
            "without_context": str(yardsticks(vocab, train_iter.valid)),
        }
        if scores := sense_scores(net.cpu(), vocab, text):
            about["senses"] = (
                f"{mean_accuracy(scores):.1%} of held-out occurrences told rightly, mean of {len(scores)} words: "
                + ", ".join(f"{word} {score.accuracy:.0%}" for word, score in scores.items())
            )
        else:
            about["senses"] = "not measured: no word of this text has its senses marked"
        about["licence"] = LICENCES.get(options.corpus, "that of your text")
        save_checkpoint(options.out / "network.safetensors", net, vocab, torch.float16, **about)
        (options.out / "model_card.md").write_text(model_card(about), encoding="utf-8")
        print(
            "\n".join(f"{name}: {about[name]}" for name in ("held_out", "without_context", "senses") if name in about)
        )


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")
