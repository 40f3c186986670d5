"""The project round the package: environment, versions, links, and how the notebooks are kept."""

import ast
import contextlib
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import bert_tutorial
from bert_tutorial import __main__ as command_line

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"]
PACKAGE = ROOT / "bert_tutorial"
MAX_CELL_LINES = 40  # of code, or of a function that is shown
MAX_CELL_WORDS = 120
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

# The rooms of the package, from the ground up: a room may import from those before it.
ROOMS = (
    "cache", "devices", "plots", "text", "notebook", "network", "diagrams", "parallel",
    "pretraining", "representation", "finetuning", "exercises", "studio", "pretrain", "finetune",
    "from_d2l", "__main__", "",
)  # fmt: skip
# Lines that each room may have, docstrings included. A change that needs more says what for.
BUDGETS = {
    "text": 1441,  # 350 for texts larger than memory
    "network": 634,
    "pretraining": 1383,  # 380 for several processes: workers.py, running.py, one state for all
    "representation": 875,
    "finetuning": 600,
    "exercises": 1530,  # 106 for two exercises on measuring
    "studio": 5755,  # 1,400 for fine-tuning and scaling out, their tasks, widgets and files
    "": 1395,  # 250 for several hosts and their command line
}

# Helpers: each takes text or data, and returns what it finds wrong, so that it can be tried on
# something that is wrong.


def prose(markdown: str) -> str:
    """A text without its blocks of code."""
    return re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)


def long_lines(markdown: str, columns: int = 100) -> list[str]:
    """Lines of prose that are too long; tables, code, pictures and addresses do not count."""
    may_be_long = re.compile(r"^\s*[|<!]|https?://\S{40}")
    lines = prose(markdown).splitlines()
    return [line for line in lines if len(line) > columns and not may_be_long.search(line)]


def count_words(markdown: str) -> int:
    return len(re.findall(r"[^\W_]+(?:['’.-]\w+)*", prose(markdown)))


def broken_links(markdown: str, folder: Path) -> list[str]:
    """Relative links and pictures that lead to nothing."""
    text = re.sub(r"`[^`\n]*`", "", prose(markdown))
    targets = re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    # "../../actions/" is where a code host shows the workflow's results.
    elsewhere = re.compile(r"[a-z][a-z+.-]*:|#|\.\./\.\./actions/")
    relative = [target.split("#")[0] for target in targets if not elsewhere.match(target)]
    return [target for target in relative if not (folder / target).exists()]


def defined(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that get a function or a class: by def, class, or assigning a lambda."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def public_functions() -> set[str]:
    modules = [ast.parse(path.read_text("utf-8")).body for path in PACKAGE.rglob("*.py")]
    return {name for module in modules for name in defined(module) if name[0] != "_"}


def is_tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", ())


def faults(notebook: nbformat.NotebookNode) -> dict[str, list]:
    """What is wrong with a notebook, by kind; kinds without a fault are left out."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    run = [cell.execution_count for cell in code if cell.execution_count is not None]
    compared = [cell for cell in code if not is_tagged(cell, "nbval-skip")]
    tried = [cell for cell in code if not is_tagged(cell, "raises-exception")]
    outputs = [output for cell in tried for output in cell.outputs]
    pieces = [part for output in outputs for part in shown_functions(output)]
    pieces += [cell.source for cell in code]
    headings = [
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        for _ in re.findall(r"^# ", prose(cell.source), flags=re.M)
    ]
    plain = TransformerManager().transform_cell  # %magic and !commands become Python
    nodes = [node for cell in code for node in ast.walk(ast.parse(plain(cell.source)))]
    found = {
        # nbval would run these, but compare nothing.
        "never run": [cell.source for cell in compared if cell.execution_count is None],
        "failed": [f"{out.ename}: {out.evalue}" for out in outputs if out.output_type == "error"],
        "not run in order in a fresh kernel": run if run != [*range(1, len(run) + 1)] else [],
        # Code hosts then refuse to show the notebook.
        "widget state": [key for key in notebook.metadata if key == "widgets"],
        "defines what the package defines": sorted(defined(nodes) & public_functions()),
        "not one heading in the first cell": headings if headings != [0] else [],
        "long code": [code for code in pieces if len(code.splitlines()) > MAX_CELL_LINES],
        "long text cells": [text for text in texts if count_words(text) > MAX_CELL_WORDS],
        "wide lines": [line for text in texts for line in long_lines(text)],
    }
    return {kind: some for kind, some in found.items() if some}


def shown_functions(output: nbformat.NotebookNode) -> list[str]:
    """The source of each function that `show_source` has shown in this output."""
    text = output.get("data", {}).get("text/markdown", "")
    blocks = re.findall(r"^```python\n(.*)^```", text, flags=re.M | re.S)
    return [part for block in blocks for part in block.split("\n\n\n")]


def imports(package: Path) -> dict[str, set[str]]:
    """For each module of a package those it imports, wherever in its code, for types only too.

    A folder's name stands for its __init__.
    """
    paths = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        paths[".".join(part for part in parts if part != "__init__")] = path
    found = {module: set() for module in paths}
    for module, path in paths.items():
        folder = module if path.stem == "__init__" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = resolve_name("." * node.level + (node.module or ""), folder)
                names = [f"{source}.{alias.name}" for alias in node.names]
                found[module] |= {name if name in paths else source for name in names}
    return {module: names & paths.keys() - {module} for module, names in found.items()}


def room_of(module: str) -> str:
    return f"{module}.".split(".")[1]


def imports_up(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Pairs of modules of which the first imports the second, which stands in a later room."""
    pairs = {(module, other) for module, others in graph.items() for other in others}
    return {pair for pair in pairs if ROOMS.index(room_of(pair[0])) < ROOMS.index(room_of(pair[1]))}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
        return []
    except CycleError as error:
        return error.args[1]


def over_budget(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Rooms with more lines than they may have, by how many; what is in none is one room."""
    rooms = Counter()
    for room, number in lines:
        rooms[room if room in BUDGETS else ""] += number
    return {room: n - BUDGETS[room] for room, n in rooms.items() if n > BUDGETS[room]}


def pinned(constraints: str) -> dict[str, str]:
    """Package and exact version of each line of a constraints file."""
    pairs = [line.split("==") for line in constraints.splitlines() if line and line[0] != "#"]
    return {canonicalize_name(name): version for name, version in pairs}


def unpinned(requirements: list[str], pins: dict[str, str]) -> list[str]:
    """Requirements without an exact version, or with one that they do not allow."""
    needs = [(need, canonicalize_name(need.name)) for need in map(Requirement, requirements)]
    return [
        str(need)
        for need, name in needs
        if name not in pins or not need.specifier.contains(pins[name])
    ]


def too_new(distributions: Iterable[metadata.Distribution], python: str) -> list[str]:
    """Installed packages that need a newer Python."""
    needs = {f"{d.name} {d.version}": d.metadata["Requires-Python"] for d in distributions}
    return [name for name, need in needs.items() if not SpecifierSet(need or "").contains(python)]


def private_addresses(content: bytes) -> list[bytes]:
    """Addresses that work on one machine only, or that choose a package index for everyone."""
    # Each with a letter in brackets, so that this file does not find itself.
    private = rb"file:[/]{2}|index[-]url|find[-]links|/simpl[e]/?(?=[\"'\s])|/wh[l]/"
    return re.findall(private, content)


# The notebooks.


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_fault(path):
    assert faults(nbformat.read(path, 4)) == {}


# The package.


def test_imports_run_one_way_and_never_in_a_circle():
    graph = imports(PACKAGE)
    assert len(graph) > 40 and imports_up(graph) == set()
    assert circle(graph) == []


def test_every_room_keeps_to_its_budget():
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert over_budget((path.relative_to(PACKAGE).parts[0], n) for path, n in lines.items()) == {}


def test_the_package_says_what_it_offers():
    assert all(hasattr(bert_tutorial, name) for name in bert_tutorial.__all__)
    assert len(set(bert_tutorial.__all__)) == len(bert_tutorial.__all__)


def test_importing_the_package_draws_in_no_matplotlib_and_no_ipython():
    code = "import sys, bert_tutorial; print(sorted({'matplotlib', 'IPython'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# The environment.


@pytest.fixture(scope="module")
def pins():
    return pinned((ROOT / "constraints.txt").read_text("utf-8"))


def test_conda_installs_what_pip_installs():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == PROJECT["name"]
    python, pip, packages = environment["dependencies"]
    version = python.removeprefix("python=")  # in the form that Binder understands
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    assert re.match(r"pip\b", pip) and packages == {"pip": ["-c constraints.txt", "-e .[lab]"]}
    assert set(PROJECT["optional-dependencies"]) == {"lab", "test"}


def test_every_dependency_has_an_exact_version_that_it_allows(pins):
    extras = PROJECT["optional-dependencies"].values()
    assert unpinned(sum(extras, PROJECT["dependencies"]), pins) == []
    assert [version for version in pins.values() if "+" in version] == []  # of no special build


@pytest.mark.parametrize("python", ["3.11.0", "3.13.0"])
def test_exact_versions_suit_every_python_that_is_promised(pins, python):
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    installed = [d for d in metadata.distributions() if canonicalize_name(d.name) in pins]
    assert len(installed) > 50 and too_new(installed, python) == []
    assert too_new(installed, "3.8.0") != []  # it finds what it is for


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert PROJECT["version"] == bert_tutorial.__version__ == citation["version"]


def test_the_extra_test_brings_all_that_tests_import():
    """Without the extra `lab`; a package's own further requirements are brought too."""
    todo, brought = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]], set()
    while todo:
        need = Requirement(todo.pop())
        name, everything = canonicalize_name(need.name), {"extra": ""}
        if name in brought or (need.marker and not need.marker.evaluate(everything)):
            continue
        brought.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            todo += metadata.requires(name) or []
    imported = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.split(".")[0])
    owners = metadata.packages_distributions()
    missing = {module for module in imported & owners.keys()
               if not brought & {canonicalize_name(owner) for owner in owners[module]}}  # fmt: skip
    assert "nbclient" in imported
    assert missing - {"bert_tutorial", "setuptools"} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' OpenMP tells nothing")
@pytest.mark.parametrize(("chosen", "load", "told"), [
    ({}, 99, "OMP_WAIT_POLICY = 'PASSIVE'"), ({}, 0, "GOMP_SPINCOUNT = '100000'"),
    ({"OMP_WAIT_POLICY": "ACTIVE"}, 99, "OMP_WAIT_POLICY = 'ACTIVE'"),
])  # fmt: skip
def test_waiting_threads_sleep_on_a_busy_machine_where_the_reader_has_not_chosen(
    chosen, load, told
):
    ours = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    environment = {name: os.environ[name] for name in os.environ.keys() - ours}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **chosen}
    code = f"import os; os.getloadavg = lambda: ({load},) * 3; import bert_tutorial"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0 and told in found.stderr


def test_notebooks_come_first_then_what_takes_long(request):
    conftest = request.config.pluginmanager.get_plugin(str(ROOT / "tests" / "conftest.py"))
    names = ["test_a.py", "test_long.py", "01.ipynb", "02.ipynb"]
    items = [
        SimpleNamespace(path=Path(name), get_closest_marker=lambda _, name=name: "long" in name)
        for name in names
    ]
    conftest.pytest_collection_modifyitems(items)
    assert [str(item.path) for item in items] == [*names[2:], "test_long.py", "test_a.py"]


def test_without_jupyterlab_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="^JupyterLab is not .* pip install jupyterlab$"):
        command_line.main(["--folder", str(tmp_path / "new")])
    assert not list(tmp_path.iterdir())


# The files.


def test_no_tracked_file_names_a_place_on_one_machine_or_a_package_index():
    try:
        listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout, so there is no list of tracked files")
    paths = [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
    found = {str(path): private_addresses(path.read_bytes()) for path in paths}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_narrow_and_their_links_lead_somewhere(name):
    path = ROOT / name
    assert long_lines(path.read_text("utf-8")) == []
    assert broken_links(path.read_text("utf-8"), path.parent) == []


@pytest.mark.parametrize("path", [*ROOT.glob(".github/ISSUE_TEMPLATE/*.yml")], ids=str)
def test_issue_forms_are_complete(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form["name"] and form["description"]
    assert all(field["attributes"]["label"] for field in form["body"])


# Each helper finds what it is for.


def test_the_helpers_find_bad_notebooks():
    failed = new_output("error", ename="E", evalue="bad")
    short, long, cell = "x = 1\n" * 40, "y = 1\n" * 41, "z = 1\n" * 41
    source = f"```python\n{short}\n\n{long}```"
    shown = new_output("display_data", {"text/markdown": source})
    code = "%time 1\ndef tokenize(): ...\nVocab = lambda: 0\nmask = Vocab"
    meant, skipped = ({"tags": [tag]} for tag in ("raises-exception", "nbval-skip"))
    cells = [
        new_markdown_cell("text\n# One\n```python\n# no\n```"),
        new_code_cell("x = 1"),
        new_markdown_cell("# Two\n## no"),
        new_code_cell(code, execution_count=2, outputs=[failed, shown]),
        new_code_cell(cell, metadata=skipped),
        new_code_cell("1 / 0", execution_count=3, outputs=[failed], metadata=meant),
        new_markdown_cell("word " * 121),
    ]
    assert faults(new_notebook(cells=cells, metadata={"widgets": {}})) == {
        "never run": ["x = 1"],
        "failed": ["E: bad"],
        "not run in order in a fresh kernel": [2, 3],
        "widget state": ["widgets"],
        "defines what the package defines": ["Vocab", "tokenize"],
        "not one heading in the first cell": [0, 2],
        "long code": [long, cell],
        "long text cells": ["word " * 121],
        "wide lines": ["word " * 121],
    }


def test_the_helpers_find_imports_that_lead_up_and_circles(tmp_path):
    package = tmp_path / "bert_tutorial"
    for name, code in {
        "__init__": "from .text.pairs import a",
        "cache": "",
        "text/__init__": "",
        "text/pairs": "from ..cache import b\nfrom .masking import c",
        "text/masking": "def f():\n    from . import pairs\nif TYPE_CHECKING:\n"
        "    from ..studio.runs import queue",
        "studio/runs/queue": "import os, bert_tutorial.text.pairs\nfrom bert_tutorial import cache",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(code)
    graph = imports(package)
    root, room = "bert_tutorial", "bert_tutorial.text"
    assert graph[root] == {f"{room}.pairs"}
    assert graph[f"{room}.pairs"] == {f"{root}.cache", f"{room}.masking"}
    assert graph[f"{root}.studio.runs.queue"] == {f"{room}.pairs", f"{root}.cache"}
    assert imports_up(graph) == {(f"{room}.masking", f"{root}.studio.runs.queue")}
    assert {f"{room}.pairs", f"{room}.masking"} <= set(circle(graph))
    assert circle({"a": {"b"}, "b": set()}) == []
    most = BUDGETS["network"]
    assert over_budget([("network", most), ("network", 30), ("cache.py", 9)]) == {"network": 30}


def test_the_helpers_find_heavy_prose_broken_links_missing_versions_and_private_addresses(tmp_path):
    wide = "word " * 30
    assert long_lines(f"{wide}\n| {wide}|\nshort\n```\n{wide}\n```\n") == [wide]
    assert count_words("It's 3.5 long-legged `words`, **not** six.\n```python\ncode here\n```") == 6
    links = "[a](no.md#x) ![b](no.png) [c](#x) [d](https://e.org/f) `[g](h)`"
    assert broken_links(links, tmp_path) == ["no.md", "no.png"]
    pins = pinned("# a comment\na-b==1.0\nc==2.0+cpu\n")
    assert pins == {"a-b": "1.0", "c": "2.0+cpu"}
    assert unpinned(["A_b>=0.5", "a.b>=1.5", "d"], pins) == ["a.b>=1.5", "d"]
    for bad in ("file:" + "///a", "--extra-index" + "-url x", "https://e.org/sim" + "ple/ "):
        assert private_addresses(bad.encode())
    assert private_addresses(b"https://e.org a file: simple, /simpler") == []
