"""What notebook 6 does with several processes: start them, and draw what became of them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ...parallel import OWN_STORE
from ...plots import BLUE, ORANGE, new_figure, to_png
from ...pretraining.workers import end_program


@contextmanager
def torchrun(arguments: Sequence[str], folder: Path, restarts: int = 0) -> Iterator:
    """Start two processes of a program; they are ended with the block, whatever happens in it.

    Gives torchrun's own process. What they say is written into the folder, as `said.txt` and
    `errors.txt`; a ChildProcessError tells that they have failed.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", str(restarts), *arguments]
    threads = max(1, torch.get_num_threads() // 2)
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ | {OWN_STORE: "1"}
    said, errors = folder / "said.txt", folder / "errors.txt"
    with said.open("wb") as out, errors.open("wb") as err:
        how = dict(stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        program = subprocess.Popen(command, env=environment, **how)
        try:
            yield program
        finally:
            end_program(program)
    if program.returncode:
        lines = errors.read_text("utf-8", "replace").splitlines() or ["nothing"]
        found = [line for line in lines if "Error: " in line or "process of this run" in line]
        raise ChildProcessError(f"the processes have failed, and said: {(found or lines)[0][:500]}")


def run_script(code: str) -> str:
    """What two processes of one script print, one behind the other; this machine is called HOST."""
    with TemporaryDirectory(prefix="bert_tutorial-", ignore_cleanup_errors=True) as name:
        script = (folder := Path(name)) / "script.py"
        script.write_text(code, "utf-8")
        apart = ["--redirects", "1", "--log-dir", name, str(script)]  # a file for each
        with torchrun(apart, folder) as program:
            program.wait(300)
        said = [log.read_text("utf-8", "replace") for log in sorted(folder.rglob("stdout.log"))]
    return "".join(said).strip().replace(socket.gethostname(), "HOST")


def draw_steps(seen: Sequence[tuple[float, int]], killed: float | None) -> bytes:
    """Steps in the log by seconds, as a PNG, with a line where a process was killed."""
    figure = new_figure(7, 3)
    axes = figure.subplots()
    axes.step(*zip(*seen, strict=True), where="post", color=BLUE, label="steps in the log")
    if killed is not None:
        axes.axvline(killed, color=ORANGE, ls="--", label="a process is killed")
    axes.set(xlabel="seconds since torchrun began", ylabel="steps")
    axes.legend(loc="upper left", fontsize="small")
    return to_png(figure, compress_level=1)
