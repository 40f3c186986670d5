"""A real JupyterLab in a real browser: the fixture `lab` opens notebooks, runs them, and looks at
what came of it.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 120  # seconds that anything may take,
NOTEBOOK_PATIENCE = 240  # but a whole notebook more, on a slow and busy machine
MAX_PICTURE_HEIGHT = 12_000  # pixels; browsers cannot take much higher ones

BROWSER_OPTIONS = [
    "--no-sandbox",  # a sandbox inside a container, or as root, does not start
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # Every cell is in the page, not only the visible ones, and there is no empty space below the
    # last.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "scrollPastEnd": False},
}
# What the browser or JupyterLab itself reports and no code of ours causes.
NOT_OURS = ("favicon",)

# The open notebook, in the page's JavaScript: `panel`, `cells` (its code cells with code in them)
# and `kernel`.
NOTEBOOK_JS = """
const panel = window.jupyterapp.shell.currentWidget; const cells =
[...panel.content.model.cells].filter(c => c.type === "code" && c.sharedModel.source.trim()); const
kernel = panel.sessionContext.session?.kernel; const failed = cell =>
cell.outputs.toJSON().some(output => output.output_type === "error")
    && !(cell.getMetadata("tags") ?? []).includes("raises-exception");
"""


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        reason = (
            "there is no Chromium here; install it, or name a browser of its kind in the "
            "environment variable CHROMIUM"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return {**browser_type_launch_args, "executable_path": browser, "args": BROWSER_OPTIONS}


class Server:
    """A JupyterLab on this machine only, whose settings, kernels and notebooks stand in a folder
    of its own.

    Attributes:
        root: Folder of the notebooks: a copy, which tests may change, add to and spoil.
        url: Where it answers.
        token: What it wants to be told.
    """

    def __init__(self, folder: Path):
        self.root, self.log, self.token = (
            folder / "notebooks",
            folder / "server.log",
            secrets.token_hex(),
        )
        shutil.copytree(NOTEBOOKS, self.root, ignore=shutil.ignore_patterns(".*"))
        if not os.environ.get("BERT_TUTORIAL_SCREENSHOTS"):
            self._shorten()
        settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(LAB_SETTINGS), encoding="utf-8")
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_PREFER_ENV_PATH": "1",
            "BERT_TUTORIAL_CACHE": str(
                folder / "cache"
            ),  # what was trained elsewhere does not count
            "JUPYTER_TOKEN": self.token,
        }
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,  # any free one
            "ServerApp.root_dir": self.root,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        command = [
            sys.executable,
            "-m",
            "jupyterlab",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self.url = self._wait_until_it_answers(
                folder / "runtime" / f"jpserver-{self.process.pid}.json"
            )
        except BaseException:
            self.stop()
            raise

    def _shorten(self) -> None:
        """Fewer steps where nobody looks at the pictures; nbval takes all of them."""
        for name, before, after in (("02_pretraining", 430, 60), ("04_exercises", 60, 10)):
            path = self.root / f"{name}.ipynb"
            text, line = path.read_text("utf-8"), "num_steps = {}  #"
            assert line.format(before) in text
            path.write_text(text.replace(line.format(before), line.format(after)), "utf-8")

    def _wait_until_it_answers(self, info: Path) -> str:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                url = json.loads(info.read_text("utf-8"))["url"]
                direct.open(f"{url}api/status?token={self.token}", timeout=5).close()
                return url
            except (FileNotFoundError, json.JSONDecodeError, urllib.error.URLError):
                time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text('utf-8', 'replace')}")

    def stop(self) -> None:
        """Ask it to end, with its kernels; insist after a while."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Lab:
    """One JupyterLab tab with one notebook.

    Attributes:
        page: The tab: `lab.page.get_by_label("Steps").fill("20")`.
        server: The server behind it; `lab.server.root` is the folder of the notebooks.
    """

    def __init__(self, page: Page, server: Server):
        self.page, self.server = page, server
        self._reports: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on(
            "console",
            lambda m: m.type == "error" and self._report(f"{m.text} ({m.location.get('url', '')})"),
        )
        page.on("pageerror", lambda error: self._report(str(error)))
        page.on("request", lambda request: self._requested(request.url))
        page.on("websocket", lambda socket: self._requested(socket.url))

    def open(self, notebook: str) -> None:
        """Open a notebook of the server's folder, and wait until its kernel is ready."""
        # A window arrangement of its own, with nothing else open.
        name = f"{Path(notebook).stem}-{secrets.token_hex(4)}"
        self.page.goto(
            f"{self.server.url}lab/workspaces/{name}/tree/{notebook}?token={self.server.token}"
        )
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.content?.model?.cells?.length"
        )
        self.page.evaluate("async () => await window.jupyterapp.shell.currentWidget.context.ready")
        self.page.wait_for_function(f"() => {{ {NOTEBOOK_JS} return kernel?.status === 'idle' }}")

    def open_cells(self, name: str, *sources: str) -> None:
        """Write a notebook of these code cells into the server's folder, and open it."""
        empty = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
        cells = [empty | {"id": f"cell{i}", "source": s} for i, s in enumerate(sources)]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = {"cells": cells, "metadata": {"kernelspec": kernel}}
        notebook |= {"nbformat": 4, "nbformat_minor": 5}
        (self.server.root / name).write_text(json.dumps(notebook), encoding="utf-8")
        self.open(name)

    def run_all(self) -> None:
        """Clear all outputs, start Run All Cells, and return at once."""
        self.page.evaluate(
            """async () => {
                await window.jupyterapp.commands.execute("notebook:clear-all-cell-outputs");
                // errors() will tell what fails.
                window.jupyterapp.commands.execute("notebook:run-all-cells").catch(() => {});
            }"""
        )

    def wait_idle(self, seconds: float = NOTEBOOK_PATIENCE) -> None:
        """Wait until all code cells have been run, or one has failed, and the kernel has nothing to
        do.
        """
        self.page.wait_for_function(
            f"""() => {{
                {NOTEBOOK_JS}
                const done = cells.every(
                    cell => cell.executionCount !== null && cell.executionState !== "running");
                return kernel?.status === "idle" && (done || cells.some(failed));
            }}""",
            timeout=seconds * 1000,
        )

    def errors(self) -> list[str]:
        """What went wrong so far: cells that failed, widgets that did not appear, errors in the
        page's console, requests to other hosts.
        """
        cells = self.page.evaluate(
            f"""() => {{
                {NOTEBOOK_JS}
                return cells.filter(failed).flatMap(cell => cell.outputs.toJSON()
                    .filter(output => output.output_type === "error")
                    .map(output => `${{output.ename}}: ${{output.evalue}} in the cell `
                        + `"${{cell.sharedModel.source}}"`));
            }}"""
        )
        widgets = (
            self.page.locator(".jp-Notebook .jp-OutputArea")
            .get_by_text("Error displaying widget")
            .all_inner_texts()
        )
        return cells + widgets + self._reports

    def texts(self) -> list[str]:
        """What each code cell shows under it, as text."""
        return self.page.locator(
            ".jp-Notebook .jp-CodeCell .jp-Cell-outputWrapper"
        ).all_inner_texts()

    def set_theme(self, theme: str) -> None:
        """Change to the theme "Light" or "Dark", and wait until it is there."""
        self.page.evaluate(
            """async theme => await window.jupyterapp.commands.execute(
                "apputils:change-theme", {theme: `JupyterLab ${theme}`})""",
            theme,
        )
        is_light = str(theme == "Light").lower()
        self.page.locator(f"body[data-jp-theme-light='{is_light}']").wait_for(state="attached")
        # The theme's colours are there when its style sheet is.
        self.page.wait_for_function(
            """isLight => {
                const style = getComputedStyle(document.body);
                const colour = style.getPropertyValue("--jp-layout-color1").trim();
                return ["white", "#fff", "#ffffff"].includes(colour) === isLight;
            }""",
            arg=theme == "Light",
        )

    def axe(self, selector: str = ".jp-OutputArea-output") -> list[str]:
        """What axe finds at fault with what a selector names: serious and critical violations only.

        Returns:
            One line for each element, such as "label (critical): Form elements must have labels"...
        """
        found = Axe().run(self.page, selector, {"resultTypes": ["violations"]}).response
        assert found["passes"], f"nothing was checked: {selector}"
        return [
            f"{violation['id']} ({violation['impact']}): {violation['help']}: "
            f"{node['html'][:200]} {node['failureSummary']}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    def screenshot(self, path: str | os.PathLike) -> list[Path]:
        """Take a picture of the whole notebook, as long as it is; several, if it is very long.

        Returns:
            The files: `path` with "-1", "-2" and so on before its ending if there are several.
        """
        path, size = Path(path), self.page.viewport_size
        panel = self.page.locator(".jp-NotebookPanel:visible .jp-WindowedPanel-outer")
        self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        length, visible = panel.evaluate(
            "(element) => [element.scrollHeight, element.clientHeight]"
        )
        rest = size["height"] - visible  # menus, tool bar, status bar
        height = min(MAX_PICTURE_HEIGHT, length + rest)
        self.page.set_viewport_size({**size, "height": height})
        step = height - rest
        self.page.wait_for_function(
            "([element, step]) => element.clientHeight === step", arg=[panel.element_handle(), step]
        )
        starts = range(0, panel.evaluate("(element) => element.scrollHeight"), step)
        files = (
            [path]
            if len(starts) == 1
            else [path.with_stem(f"{path.stem}-{i}") for i in range(1, len(starts) + 1)]
        )
        for start, file in zip(starts, files, strict=True):
            panel.evaluate(
                "(element, start) => element.scrollTo({top: start, behavior: 'instant'})", start
            )
            self.page.screenshot(path=file)
        panel.evaluate("(element) => element.scrollTo({top: 0, behavior: 'instant'})")
        self.page.set_viewport_size(size)
        return files

    def close(self) -> None:
        """Shut the kernel down, so that kernels do not add up over the tests."""
        self.page.evaluate(
            """async () => {
                await window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown();
            }"""
        )

    def _requested(self, url: str) -> None:
        host = urllib.parse.urlsplit(url).hostname  # None for data: and blob:
        if host not in (None, "127.0.0.1", "localhost"):
            self._report(f"a request to {url}")

    def _report(self, text: str) -> None:
        if not any(part in text for part in NOT_OURS):
            self._reports.append(text)


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory, browser_type_launch_args):  # without a browser no server is needed
    server = Server(tmp_path_factory.mktemp("jupyterlab"))
    yield server
    server.stop()


@pytest.fixture
def lab(page, lab_server):
    expect.set_options(timeout=30_000)
    lab = Lab(page, lab_server)
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Folder for pictures: that named by BERT_TUTORIAL_SCREENSHOTS, or one nobody will miss."""
    folder = Path(
        os.environ.get("BERT_TUTORIAL_SCREENSHOTS") or tmp_path_factory.mktemp("pictures")
    )
    folder.mkdir(parents=True, exist_ok=True)
    return folder
