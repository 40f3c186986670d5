"""The steps of a run by several processes, which torchrun starts, in place of this one.

This process stays who decides: it asks for a step, and for the weights where it needs them. So a
run pauses, stops and is measured as one that trains here. The processes are programs of their own:
in a notebook's process nothing may fork once a GPU was used, and GPUs that lose touch end theirs.

The messages are lines of JSON, over a socket of this machine that asks for a secret.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ..cache import read_safetensors, write_safetensors
from ..devices import try_all_gpus
from ..network.config import BERTConfig
from ..network.model import BERTModel
from ..parallel import join_processes, own_device
from ..text.examples import PretrainingExamples
from ..text.tokenized import TokenizedText
from ..text.vocabulary import Vocab
from .optimizers import make_optimizers, restore, state_of
from .run import Settings, Step
from .training import train_steps

LINK = "BERT_TUTORIAL_LINK"  # in the environment of the processes: port and secret
STATE, TEXT = "state.safetensors", "text.safetensors"
STARTING = 300  # seconds that PyTorch may take to be loaded by all of them
OF_EXAMPLES = (
    "batch_size", "max_len", "mask_rate", "sentences_per_segment", "next_sentence_rate", "seed",
    "fixed",
)  # fmt: skip


class Workers:
    """Processes that train a network, each with a device of its own.

    Args:
        net, train_iter, settings, optimizers, first_step: As in `train_steps`.
        number: How many processes; they share the processor, or have a GPU each.
    """

    def __init__(
        self,
        net: BERTModel,
        train_iter: PretrainingExamples,
        settings: Settings,
        optimizers: list[torch.optim.Optimizer],
        first_step: int,
        number: int,
    ):
        self.net, self.optimizers, self.settings = net, optimizers, settings
        self.done, self.is_current = first_step, True
        self._folder = TemporaryDirectory(prefix="bert_tutorial-", ignore_cleanup_errors=True)
        self.path, vocab = Path(self._folder.name), train_iter.vocab
        about = dict(config=asdict(net.config), settings=asdict(settings), first_step=first_step)
        about |= dict(examples={name: getattr(train_iter, name) for name in OF_EXAMPLES})
        about |= dict(itos=vocab.itos, counts=vocab.counts, pid=os.getpid())
        about["checkpointing"] = net.encoder.checkpointing
        write_safetensors(self.path / TEXT, train_iter.text._asdict(), about)
        write_safetensors(self.path / STATE, state_of(net, optimizers), {})
        self._said, secret = (self.path / "said.txt").open("w+b"), secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as server:
            environment = os.environ | {LINK: f"{server.getsockname()[1]} {secret}"}
            threads = max(1, torch.get_num_threads() // number)
            environment.setdefault("OMP_NUM_THREADS", str(threads))
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
            command += ["--nproc-per-node", str(number), "-m", __name__, str(self.path)]
            # In a session of its own: Ctrl-C is for this process, which tells the others.
            how = dict(env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
            self._torchrun = subprocess.Popen(command, stdout=self._said, stderr=self._said, **how)
            self._link = self._meet(server, secret)

    def steps(self) -> Iterator[Step]:
        """As `train_steps`; the network of this process learns of them by `fetch` only."""
        while self.done < self.settings.num_steps:
            step = Step(*self._ask("step"))
            self.done, self.is_current = step.step, False
            yield step

    def fetch(self) -> None:
        """Bring network and optimizers of this process to where the run is."""
        if not self.is_current:
            self._ask("write")
            restore(self.net, self.optimizers, read_safetensors(self.path / STATE)[0])
            self.is_current = True

    def close(self) -> None:
        """End the processes."""
        with suppress(OSError):
            self._link.close()
        with suppress(subprocess.TimeoutExpired):
            self._torchrun.wait(20)
        self._end()
        self._said.close()
        self._folder.cleanup()

    def _end(self) -> None:
        if self._torchrun.poll() is None:
            with suppress(OSError):  # torchrun and all that it has started
                getattr(os, "killpg", os.kill)(self._torchrun.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._torchrun.wait(10)
            self._torchrun.kill()

    def _meet(self, server: socket.socket, secret: str) -> "Link":
        server.settimeout(0.5)
        for _ in range(2 * STARTING):
            if self._torchrun.poll() is not None:
                break
            with suppress(TimeoutError):
                link = Link(server.accept()[0])
                if secrets.compare_digest(link.hear(), secret):
                    link.connection.settimeout(None)
                    return link
        raise self._lost()

    def _ask(self, word: str) -> list:
        try:
            self._link.tell(word)
            answer = json.loads(self._link.hear())
        except (OSError, ValueError):  # the other end is closed
            raise self._lost() from None
        if isinstance(answer, dict):
            kinds = {"FloatingPointError": FloatingPointError, "MemoryError": MemoryError}
            raise kinds.get(answer["kind"], ConnectionError)(answer["error"])
        return answer

    def _lost(self) -> ConnectionError:
        self._end()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()
        ours = [line for line in lines if line.startswith("pretraining: ")]
        said = f" ({ours[-1].removeprefix('pretraining: ')})" if ours else ""
        return ConnectionError(
            f"a process that trained this network has ended, after step {self.done}{said}: the "
            "network has what it had learned when it was last looked at; train it again"
        )


class Link:
    """Lines between two processes."""

    def __init__(self, connection: socket.socket):
        connection.settimeout(5)  # until it has told the secret
        self.connection, self.file = connection, connection.makefile("rw", encoding="utf-8")

    def tell(self, line: str) -> None:
        """Send a line."""
        self.file.write(f"{line}\n")
        self.file.flush()

    def hear(self) -> str:
        """Wait for a line; "" when the other one has closed."""
        return self.file.readline().strip()

    def close(self) -> None:
        """Say that nothing follows."""
        self.connection.shutdown(socket.SHUT_RDWR)
        self.file.close()
        self.connection.close()


def main(folder: Path) -> None:
    """One of the processes: do what the notebook's process asks for, until it closes the link."""
    device = own_device(try_all_gpus())
    processes = join_processes(device)
    tensors, about = read_safetensors(folder / TEXT)
    vocab = Vocab.from_counts(about["itos"], about["counts"])
    examples = PretrainingExamples(vocab, TokenizedText(**tensors), **about["examples"])
    net, settings = (
        BERTModel.from_config(BERTConfig(**about["config"])),
        Settings(**about["settings"]),
    )
    net.encoder.checkpointing = about["checkpointing"]
    optimizers = make_optimizers(net.to(device), settings)
    restore(net, optimizers, read_safetensors(folder / STATE)[0])
    how = dict(optimizers=optimizers, first_step=about["first_step"], processes=processes)
    steps = train_steps(net, examples, settings, **how)
    link = None
    if processes.is_keeper:
        port, secret = os.environ[LINK].split()
        link = Link(socket.create_connection(("127.0.0.1", int(port))))
        link.tell(secret)
        link.connection.settimeout(None)

    def hear() -> str:
        return link.hear() if link else ""

    def write() -> None:
        if link:
            write_safetensors(folder / STATE, state_of(net, optimizers), {})

    try:
        while word := processes.share(processes.work(hear).encode()):
            answer = next(steps) if word == b"step" else processes.work(write)
            if link:
                link.tell(json.dumps(answer))
    except Exception as error:
        if link:
            with suppress(OSError):
                link.tell(json.dumps(dict(kind=type(error).__name__, error=str(error))))
        raise
    processes.leave()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Exception as error:
        print(f"pretraining: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # tidying up with a process that is gone, PyTorch may abort this one
