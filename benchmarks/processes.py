"""How two processes add their gradients up: one flat reduction, one a tensor, or PyTorch's
DistributedDataParallel (DDP). Writes the table in README.md; `make processes`.

For each way: milliseconds a step, messages and bytes, and how far the losses are from those of one
process, where a batch goes through in parts, where the next-sentence head is not used, where a
sample of the words is decoded, and where there are fewer rows than processes.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import psutil
import torch
from report import MACHINE, keep, put_into_readme, with_table
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from bert_tutorial import BERTModel, Settings, load_data_wiki, train_steps
from bert_tutorial.network import losses as network_losses
from bert_tutorial.parallel import Processes, join_processes
from bert_tutorial.pretraining import training

WAYS = "flat", "one a tensor", "DDP", "DDP, unused ones looked for"
SIZES = {
    "d2l's": {},
    "4 layers of 256": dict(num_layers=4, num_hiddens=256, ffn_num_hiddens=1024, num_heads=4),
}
CASES = {
    "as it is": {},
    "in parts": dict(rows=16),
    "no next sentences": dict(next_sentence_rate=1.0),
    "sampled words": dict(sampled_words=512),
    "fewer rows than processes": dict(batch_size=1),
}
STEPS = 12


class Losses(nn.Module):
    """A network whose forward pass is the losses: DDP looks at no other."""

    def __init__(self, net: BERTModel):
        super().__init__()
        self.net = net

    def forward(self, *how):
        return network_losses.pretraining_losses(self.net, *how)


class OneATensor(Processes):
    """A reduction for each gradient."""

    def add_up(self, totals, parameters):
        for tensor in (totals, *(p.grad for p in parameters if p.grad is not None)):
            distributed.all_reduce(tensor)


def through_ddp(wrapped, net, batch, settings, step, with_nsp, sampler, processes):
    """`losses_and_gradients` by DDP: reductions during the backward pass of the last part."""
    draw = random.Random(f"{settings.seed} dropout {step}")
    labels = batch.mlm_labels[batch.mlm_weights.bool()]
    sample = sampler and sampler.draw(labels, draw.getrandbits(32))
    slots, pairs, totals = batch.mlm_weights.sum(), len(batch.nsp_labels), torch.zeros(2)
    parts = processes.rows(batch).split(training.rows_at_once(net.config, totals.device))
    for number, part in enumerate(parts, start=1):
        with wrapped.no_sync() if number < len(parts) else nullcontext():
            loss = wrapped(part, torch.float32, sample)
            mlm = loss.mlm * (part.mlm_weights.sum() / slots)
            nsp = loss.nsp * (len(part.nsp_labels) / pairs)
            # DDP divides what it adds up by the number of processes.
            ((mlm + nsp if with_nsp else mlm) * processes.world_size).backward()
        totals += torch.stack([mlm, nsp]).detach()
    distributed.all_reduce(totals)
    return totals[0].item(), totals[1].item()


def measure(way: str, size: str, case: str) -> dict:
    """In one of torchrun's processes, or alone: the losses, and what they took."""
    changes = dict(CASES[case])
    rows, sampled = changes.pop("rows", None), changes.pop("sampled_words", 0)
    processes = join_processes(torch.device("cpu"))
    how = dict(batch_size=128, max_len=64, corpus="encyclopaedia") | changes
    train_iter, vocab = load_data_wiki(**how)
    torch.manual_seed(0)
    net = BERTModel(len(vocab), dropout=0.0, **SIZES[size])
    if rows:
        training.rows_at_once = lambda *_: rows
    if processes.world_size > 1 and way.startswith("DDP"):
        wrapped = DistributedDataParallel(Losses(net), find_unused_parameters="unused" in way)
        training.losses_and_gradients = partial(through_ddp, wrapped)
    elif processes.world_size > 1 and way == "one a tensor":
        processes = OneATensor(*processes)
    how = Settings(num_steps=STEPS, precision="fp32", sampled_words=sampled, word_neighbours=False)
    steps, before = [], 0
    for step in train_steps(net, train_iter, how, processes=processes):
        steps.append(step)
        before = before or (step.step == 2 and sent())
    share = (STEPS - 2) * processes.world_size
    return dict(
        losses=[step.mlm_loss for step in steps], megabytes=(sent() - before) / share / 1e6,
        ms=statistics.median(step.seconds for step in steps[2:]) * 1000,
    )  # fmt: skip


def sent() -> int:
    """Bytes that have gone over this machine's loopback."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def run(way: str, size: str, case: str, number: int) -> dict | str:
    """One measurement in processes of its own; a word where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.json")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(number)]
        launcher = launcher if number > 1 else []
        command = [sys.executable, *launcher, __file__, str(out), way, size, case]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "BERT_TUTORIAL_PATIENCE": "20"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return json.loads(out.read_text())
        print(done.stderr[-2000:], file=sys.stderr)
        return "fails"


def table(results: dict) -> str:
    """A row for each network and way."""
    rows = []
    for size in SIZES:
        for way in WAYS:
            found = results[size][way]
            plain = found["as it is"]
            row = [size, way, f"{plain['ms']:.0f}", f"{plain['megabytes']:.1f}"]
            for case in CASES:
                one, two = results[size]["one process"][case], found[case]
                if two == "fails":
                    row.append("fails")
                    continue
                far = max(abs(a - b) for a, b in zip(one["losses"], two["losses"], strict=True))
                row.append(f"{far:.0e}" if far else "0")
            rows.append(row)
    header = ["network", "way", "ms a step", "MB sent a step, each", *CASES]
    return with_table(f"{results['machine']}; one thread in each of two processes.", header, rows)


def main() -> None:
    """Measure all, the ways by turns."""
    results = {"machine": MACHINE}
    for size in SIZES:
        results[size] = {"one process": {}} | {way: {} for way in WAYS}
        for case in CASES:
            results[size]["one process"][case] = run("flat", size, case, 1)
            for way in WAYS:
                results[size][way][case] = run(way, size, case, 2)
                print(size, case, way, results[size][way][case], flush=True)
    keep("processes", results)
    put_into_readme("processes", table(results))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        found = measure(*sys.argv[2:])
        if os.environ.get("RANK", "0") == "0":
            Path(sys.argv[1]).write_text(json.dumps(found))
    else:
        main()
