"""Two ways to look at a widget in a real browser: `blank` puts one on an empty page, without a
kernel; `lab` is a real JupyterLab, which opens notebooks and runs them.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ipywidgets as ipw
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from jupyter_server.serverapp import list_running_servers
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PICTURES = os.environ.get("BERT_TUTORIAL_SCREENSHOTS")  # a folder: pictures are taken only for it
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOSTILE = "<img src=x onerror=\"document.title='broken into'\"> crane"
PATIENCE = 240  # seconds that anything may take, on a slow and busy machine,
NOTEBOOK_PATIENCE = 1000  # but a whole notebook more

# A sandbox inside a container, or as root, does not start. No other host is found.
BROWSER_OPTIONS = """--no-sandbox --disable-dev-shm-usage --disable-background-networking
--disable-component-update --disable-sync --disable-quic --no-first-run""".split()
BROWSER_OPTIONS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    # Every cell is in the page, not only the visible ones, and there is no empty space below the
    # last.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "scrollPastEnd": False},
}


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args):
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        stop = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        stop("there is no Chromium here; install it, or name one in the variable CHROMIUM")
    expect.set_options(timeout=PATIENCE * 1000)
    return {**browser_type_launch_args, "executable_path": browser, "args": BROWSER_OPTIONS}


def reports_of(page: Page) -> list[str]:
    """What goes wrong in a page from now on, requests to other hosts among it."""
    reports = []

    def said(message) -> None:
        if message.type == "error" and "favicon" not in str(message.location):  # JupyterLab's own
            reports.append(f"{message.text} ({message.location})")

    page.on("console", said)
    page.on("pageerror", lambda error: reports.append(str(error)))
    return reports


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait for Python: what is done in a page arrives a moment later."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        page.wait_for_timeout(20)


# A widget's model as anywidget gives it to `render`; `toPython` and `fromPython` are the kernel.
MOUNT = """async ({esm, css, state}) => {
    const [traits, unsaved, events] = [{}, {}, new EventTarget()];
    const set = (name, value) => {
        if (JSON.stringify(traits[name]) === JSON.stringify(value) && !value?.buffer) return false;
        traits[name] = value;
        return events.dispatchEvent(new Event(`change:${name}`));
    };
    window.fromPython = update => {
        for (const [name, value] of Object.entries(update)) {
            set(name, value?.bytes ? new DataView(Uint8Array.from(value.bytes).buffer) : value);
        }
    };
    const model = {
        get: name => traits[name],
        set: (name, value) => { if (set(name, value)) unsaved[name] = value; },
        save_changes: async () => {
            const sent = {...unsaved};
            for (const name of Object.keys(sent)) delete unsaved[name];
            window.fromPython(await window.toPython(sent));
        },
        on: (name, listener) => events.addEventListener(name, listener),
        off: (name, listener) => events.removeEventListener(name, listener),
    };
    window.fromPython(state);
    window.passedOn = []; // keys that a notebook would take as commands
    document.addEventListener("keydown", event => window.passedOn.push(event.key));
    document.head.append(Object.assign(document.createElement("style"), {textContent: css}));
    const address = URL.createObjectURL(new Blob([esm], {type: "text/javascript"}));
    (await import(address)).default.render({model, el: document.body});
}"""


def state_of(widget: ipw.Widget, *names: str) -> dict:
    """Traits as they go to the page."""
    state = {name: getattr(widget, name) for name in names or widget.keys if name[0] != "_"}
    return {
        name: {"bytes": [*value]} if isinstance(value, bytes) else value
        for name, value in state.items()
        if not isinstance(value, ipw.Widget)  # its layout
    }


class Blank:
    """An empty page with one widget and no kernel: traits follow the page, and the page them."""

    def __init__(self, page: Page):
        self.page, self.reports, self._is_receiving = page, reports_of(page), False

    def show(self, widget: ipw.Widget) -> Page:
        self.widget, page = widget, self.page
        source = {"esm": str(widget._esm), "css": str(widget._css), "state": state_of(widget)}
        page.set_content("<!doctype html><html lang='en'><title>empty</title><body></body></html>")
        page.expose_function("toPython", self._receive)
        page.evaluate(MOUNT, source)
        widget.observe(self._push)
        return page

    def has(self, **traits: object) -> None:
        """Wait until traits have these values."""
        wait_until(self.page, lambda: state_of(self.widget, *traits) == traits)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focused(self) -> str:
        """What the element with the focus is called."""
        return self.page.evaluate(
            "() => document.activeElement.ariaLabel ?? document.activeElement.innerText"
        )

    def passed_on(self) -> set[str]:
        """Keys that the widget has let through: a notebook would take them as commands."""
        return set(self.page.evaluate("() => window.passedOn"))

    def _receive(self, sent: dict) -> dict:
        self._is_receiving = True
        self.widget.set_state(sent)
        self._is_receiving = False
        return state_of(self.widget)

    def _push(self, change: dict) -> None:
        if not self._is_receiving:
            update = state_of(self.widget, change["name"])
            self.page.evaluate("update => window.fromPython(update)", update)


@pytest.fixture
def blank(page):
    blank = Blank(page)
    yield blank
    assert blank.reports == [] and page.title() == "empty"
    assert page.locator("body b", has_text=re.compile("^x$")).count() == 0  # text stays text


class Server:
    """A JupyterLab on this machine only; `root` is a copy of the notebooks, to be spoiled."""

    def __init__(self, folder: Path):
        self.root, log, self.token = folder / "notebooks", folder / "log", secrets.token_hex()
        shutil.copytree(NOTEBOOKS, self.root, ignore=shutil.ignore_patterns(".*"))
        if not PICTURES:  # fewer steps where nobody looks at them; nbval takes all
            for name in ("02_pretraining", "04_exercises"):
                path = self.root / f"{name}.ipynb"
                text, steps = path.read_text("utf-8"), r"num_steps = \d+(?=  #)"
                assert len(re.findall(steps, text)) == 1, name
                path.write_text(re.sub(steps, "num_steps = 10", text), "utf-8")
        settings = folder / "config" / "labconfig" / "default_setting_overrides.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(LAB_SETTINGS), encoding="utf-8")
        own = {f"JUPYTER_{name.upper()}_DIR": name for name in ("config", "data", "runtime")}
        own |= {"IPYTHONDIR": "ipython", "BERT_TUTORIAL_CACHE": "cache"}  # with nothing trained
        # Threads of two kernels, or of a kernel and the browser, would wait for one another.
        environment = {"OMP_NUM_THREADS": "1"} | os.environ
        environment |= {name: str(folder / place) for name, place in own.items()}
        environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_TOKEN": self.token}
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,  # any free one
            "ServerApp.root_dir": self.root,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        command = [sys.executable, "-m", "jupyterlab"]
        command += [f"--{name}={value}" for name, value in options.items()]
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        deadline = time.monotonic() + PATIENCE
        while not (found := next(list_running_servers(folder / "runtime"), None)):
            if time.monotonic() > deadline or self.process.poll() is not None:
                self.stop()
                pytest.fail(f"JupyterLab did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.1)
        self.url = found["url"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


# The open notebook, in the page's JavaScript: `cells` are its code cells with code in them.
NOTEBOOK_JS = """
const {commands, shell} = window.jupyterapp;
const panel = shell.currentWidget;
const kernel = panel.sessionContext.session?.kernel;
const cells = [...panel.content.model.cells].filter(
    cell => cell.type === "code" && cell.sharedModel.source.trim());
const outputs = cell => cell.outputs.toJSON();
const errors = cell => (cell.getMetadata("tags") ?? []).includes("raises-exception") ? []
    : outputs(cell).filter(output => output.output_type === "error");
"""


class Lab:
    """One JupyterLab tab (`page`) with one notebook, and the server behind it."""

    def __init__(self, page: Page, server: Server):
        self.page, self.server, self._reports = page, server, reports_of(page)
        page.set_default_timeout(PATIENCE * 1000)

    def ask(self, script: str, argument: object = None) -> object:
        """Run JavaScript that knows `NOTEBOOK_JS`; its argument is called `given`."""
        return self.page.evaluate(f"async given => {{ {NOTEBOOK_JS} {script}\n}}", argument)

    def wait_for(self, condition: str, seconds: float = PATIENCE) -> None:
        """Wait until some JavaScript that knows `NOTEBOOK_JS` is true."""
        script = f"() => {{ {NOTEBOOK_JS} return {condition} }}"
        self.page.wait_for_function(script, timeout=seconds * 1000)

    def open(self, notebook: str) -> None:
        """Open a notebook of the server's folder, and wait until its kernel is ready."""
        # A window arrangement of its own, with nothing else open.
        place = f"lab/workspaces/{Path(notebook).stem}-{secrets.token_hex(4)}/tree/{notebook}"
        self.page.goto(f"{self.server.url}{place}?token={self.server.token}")
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.content?.model?.cells?.length"
        )
        self.ask("await panel.context.ready; shell.collapseLeft()")
        self.wait_for("kernel?.status === 'idle'")

    def open_cells(self, name: str, *sources: str) -> None:
        """Write a notebook of these code cells into the server's folder, open it, run it."""
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        cells = [new_code_cell(source) for source in sources]
        notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, self.server.root / name)
        self.open(name)
        self.run_all()

    def run_all(self) -> None:
        """Clear all outputs, run all cells, and wait for the last, or for one that fails."""
        self.ask(
            """await commands.execute("notebook:clear-all-cell-outputs");
            commands.execute("notebook:run-all-cells").catch(() => {}); // errors() will tell"""
        )
        self.wait_for(
            """kernel?.status === "idle" && (cells.some(cell => errors(cell).length) || cells.every(
            cell => cell.executionCount !== null && cell.executionState !== "running"))""",
            NOTEBOOK_PATIENCE,
        )

    def run_cell(self, start: str, source: str | None = None) -> str:
        """Run the code cell that begins so, perhaps with another source; gives what it prints."""
        return self.ask(
            """const [start, source] = given;
            const all = [...panel.content.model.cells];
            const index = all.findIndex(cell => cells.includes(cell)
                && cell.sharedModel.source.startsWith(start));
            if (index < 0) throw new Error(`no cell begins with ${start}`);
            if (source !== null) all[index].sharedModel.setSource(source);
            panel.content.activeCellIndex = index;
            panel.content.deselectAll();
            await commands.execute("notebook:run-cell");
            return outputs(all[index]).map(output => [output.text ?? ""].flat().join("")).join("");
            """,
            [start, source],
        )

    def output(self, number: int) -> Locator:
        return self.page.locator(".jp-CodeCell .jp-Cell-outputArea").nth(number)

    def errors(self) -> list[str]:
        """What went wrong so far: cells that failed, widgets that did not appear, and reports."""
        failed = self.ask(
            """return cells.flatMap(cell => errors(cell).map(output =>
            `${output.ename}: ${output.evalue} in the cell "${cell.sharedModel.source}"`));"""
        )
        broken = self.page.locator(".jp-Notebook").get_by_text("Error displaying widget")
        if self.page.title() == "broken into" or self.page.locator("img[src='x']").count():
            failed.append("a text was taken as HTML")
        return failed + broken.all_inner_texts() + self._reports

    def set_theme(self, theme: str) -> None:
        """Change to the theme "Light" or "Dark", and wait until it is there."""
        change = 'await commands.execute("apputils:change-theme", {theme: given})'
        self.ask(change, f"JupyterLab {theme}")
        self.wait_for(f"document.body.dataset.jpThemeLight === '{theme == 'Light'}'.toLowerCase()")

    def axe(self) -> list[str]:
        """What axe finds at fault under the cells, a line each: serious and critical only."""
        options = {"resultTypes": ["violations"]}
        found = Axe().run(self.page, ".jp-OutputArea-output", options).response
        assert found["passes"]  # something was checked
        return [
            f"{fault['id']} ({fault['impact']}): {node['html'][:200]} {node['failureSummary']}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]

    def too_wide(self, name: str) -> list[str]:
        """Classes of what is wider than its place, at 900 and at 1280 pixels."""
        found = []
        for width in (900, 1280):
            self.page.set_viewport_size({"width": width, "height": 800})
            found += self.page.evaluate(
                """() => [document.documentElement, ...document.querySelectorAll(
                    ".jp-WindowedPanel-outer, .jp-OutputArea-output, .bert-view")]
                    .filter(each => each.scrollWidth > each.clientWidth + 1)
                    .map(each => `${each.className} at ${innerWidth}`)"""
            )
            self.screenshot(f"{name} {width}")
        return found

    def screenshot(self, name: str) -> None:
        """Take pictures of the whole notebook, `name-1.png` and so on, if there is a folder."""
        if not PICTURES:
            return
        size, panel = self.page.viewport_size, self.page.locator(".jp-WindowedPanel-outer:visible")
        height = panel.evaluate("it => it.scrollHeight + innerHeight - it.clientHeight")
        highest = 12_000  # pixels; browsers cannot take much higher pictures
        self.page.set_viewport_size({**size, "height": min(highest, height)})
        for number in range(1, 2 + height // highest):
            self.page.screenshot(path=Path(PICTURES) / f"{name}-{number}.png")
            panel.evaluate("it => it.scrollBy({top: it.clientHeight, behavior: 'instant'})")
        self.page.set_viewport_size(size)

    def close(self) -> None:
        """Shut the kernel down, so that kernels do not add up over the tests."""
        self.page.evaluate(
            "async () => await window.jupyterapp?.shell?.currentWidget?.sessionContext?.shutdown()"
        )


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory, browser_type_launch_args):  # without a browser no server is needed
    server = Server(tmp_path_factory.mktemp("jupyterlab"))
    yield server
    server.stop()


@pytest.fixture
def lab(page, lab_server):
    lab = Lab(page, lab_server)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def shared_lab(request, browser, lab_server):
    """A `Lab` for all tests of a file: one page, and one kernel that has run the file's CELLS."""
    lab = Lab(browser.new_page(), lab_server)
    lab.open_cells(f"{request.module.__name__}.ipynb", *request.module.CELLS)
    yield lab
    lab.close()
    lab.page.close()
