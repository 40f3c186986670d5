"""The project round the package: environment, versions, links, and how the notebooks are kept."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import bert_tutorial

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PACKAGE = ROOT / "bert_tutorial"
MAX_CELL_LINES = 40
MAX_CELL_WORDS = 120
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


# Helpers: each takes text or data, and returns what it finds wrong, so that it can be tried on
# something that is wrong.


def code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def source(cell: dict) -> str:
    return "".join(cell["source"])


def cells_without_count(notebook: dict) -> list[str]:
    """Sources of code cells that were never run: nbval would run them, but compare nothing."""
    cells = [c for c in code_cells(notebook) if source(c).strip() and "nbval-skip" not in tags(c)]
    return [source(cell) for cell in cells if cell["execution_count"] is None]


def stored_errors(notebook: dict) -> list[str]:
    """Errors among the stored outputs, but for cells that are tagged to raise one."""
    cells = [cell for cell in code_cells(notebook) if "raises-exception" not in tags(cell)]
    outputs = [out for cell in cells for out in cell["outputs"]]
    return [f"{out['ename']}: {out['evalue']}" for out in outputs if out["output_type"] == "error"]


def first_level_headings(notebook: dict) -> list[int]:
    """For each first-level heading the number of its cell."""
    found = []
    for number, cell in enumerate(notebook["cells"]):
        text = re.sub(r"^```.*?^```", "", source(cell), flags=re.M | re.S)
        if cell["cell_type"] == "markdown":
            found += [number] * len(re.findall(r"^# ", text, flags=re.M))
    return found


def defined_functions(code: str, top_level_only: bool = False) -> set[str]:
    """Names that get a function or a class in this code: by def, class, or assigning a lambda."""
    tree = ast.parse(code)
    names = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def notebook_functions(notebook: dict) -> set[str]:
    plain = TransformerManager().transform_cell  # %magic and !commands become Python
    return set().union(*(defined_functions(plain(source(cell))) for cell in code_cells(notebook)))


def public_functions(package: Path) -> set[str]:
    modules = [
        defined_functions(path.read_text("utf-8"), top_level_only=True)
        for path in package.rglob("*.py")
    ]
    return {name for name in set().union(*modules) if not name.startswith("_")}


def pinned(constraints: str) -> dict[str, str]:
    """Package and exact version of each line of a constraints file."""
    lines = [line for line in constraints.splitlines() if line and not line.startswith("#")]
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines)
    }


def unpinned(requirements: list[str], pins: dict[str, str]) -> list[str]:
    """Requirements without an exact version, or with one that they do not allow."""
    parsed = [Requirement(text) for text in requirements]
    return [
        str(r)
        for r in parsed
        if canonicalize_name(r.name) not in pins
        or not r.specifier.contains(pins[canonicalize_name(r.name)])
    ]


def all_requirements() -> list[str]:
    return PROJECT["dependencies"] + [
        r for extra in PROJECT["optional-dependencies"].values() for r in extra
    ]


# Written in parts, so that this file does not find itself.
PRIVATE = [
    "file:" + "//",
    "index" + "-url",
    "find" + "-links",
    "/sim" + r"ple/?(?=[\"'\s])",
    "/wh" + "l/",
]


def private_addresses(content: bytes) -> list[bytes]:
    """Addresses that work on one machine only, or that choose a package index for everyone."""
    return [found.group() for p in PRIVATE for found in re.finditer(p.encode(), content)]


def tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout, so there is no list of tracked files")
    return [
        path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()
    ]


# The rooms of the package, from the ground up: a room may import from those before it.
ROOMS = (
    "cache", "devices", "plots", "text", "notebook", "network", "parallel", "pretraining",
    "representation", "exercises", "finetuning", "studio", "pretrain", "from_d2l", "__main__", "",
)  # fmt: skip
# Lines that each room may have, docstrings included. A change that needs more says what for.
BUDGETS = {"text": 1010, "network": 640, "pretraining": 995, "representation": 855,
           "exercises": 1460, "studio": 4135, "": 920}  # fmt: skip


def module_of(path: Path) -> str:
    """Name of a module within the package: "text.pairs"; "text" and "" for an __init__."""
    return ".".join(part for part in path.with_suffix("").parts if part != "__init__")


def imports(package: Path) -> dict[str, set[str]]:
    """For each module of a package those it imports, wherever in its code, for types only too.

    An import of a folder stands for that of its __init__.
    """
    paths = {module_of(p.relative_to(package)): p for p in package.rglob("*.py")}
    found = {}
    for module, path in paths.items():
        folder = path.relative_to(package).parent.parts
        targets = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
                targets |= {".".join(n[1:]) for n in names if n[0] == package.name}
            elif isinstance(node, ast.ImportFrom):
                source = (node.module or "").split(".") if node.module else []
                if node.level:
                    source = [*folder[: len(folder) - node.level + 1], *source]
                elif source[:1] == [package.name]:
                    source = source[1:]
                else:
                    continue
                full = [".".join([*source, alias.name]) for alias in node.names]
                targets |= {name if name in paths else ".".join(source) for name in full}
        found[module] = targets & paths.keys() - {module}
    return found


def room_of(module: str) -> str:
    return module.split(".")[0]


def imports_up(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Pairs of modules of which the first imports the second, which stands in a later room."""
    order = {room: number for number, room in enumerate(ROOMS)}
    pairs = {(module, other) for module, others in graph.items() for other in others}
    return {pair for pair in pairs if order[room_of(pair[0])] < order[room_of(pair[1])]}


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
        return []
    except CycleError as error:
        return error.args[1]


def over_budget(lines: dict[str, int]) -> dict[str, int]:
    """Rooms with more lines than they may have, by how many; root modules are one room."""
    rooms = Counter()
    for module, number in lines.items():
        room = room_of(module)
        rooms[room if room in BUDGETS else ""] += number
    return {room: n - BUDGETS[room] for room, n in rooms.items() if n > BUDGETS[room]}


def long_lines(markdown: str, columns: int = 100) -> list[str]:
    """Lines of prose that are too long; tables, code, pictures and addresses do not count."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.M | re.S)
    may_be_long = re.compile(r"^\s*[|<!]|https?://\S{40}")
    return [x for x in text.splitlines() if len(x) > columns and not may_be_long.search(x)]


def count_words(markdown: str) -> int:
    """Words of a text cell; code does not count."""
    return len(re.findall(r"[^\W_]+(?:['’.-]\w+)*", re.sub(r"```.*?```", "", markdown, flags=re.S)))


def shown_objects(notebook: dict) -> set[str]:
    """Names of what a notebook shows with `show_source`."""
    calls = [
        node
        for cell in code_cells(notebook)
        for node in ast.walk(ast.parse(TransformerManager().transform_cell(source(cell))))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "show_source"
    ]
    return {ast.unparse(argument) for call in calls for argument in call.args}


def function_lengths(package: Path) -> dict[str, int]:
    """Lines of every function, method and class of the package, with its docstring."""
    found = {}
    for path in package.rglob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            parts = [node, *getattr(node, "body", [])] if isinstance(node, ast.ClassDef) else [node]
            for part in parts:
                if isinstance(part, ast.FunctionDef | ast.ClassDef):
                    name = part.name if part is node else f"{node.name}.{part.name}"
                    found[name] = part.end_lineno - part.lineno + 1
    return found


def broken_links(markdown: str, folder: Path) -> list[str]:
    """Relative links and pictures that lead to nothing."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", markdown, flags=re.S)
    targets = re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    # "../../actions/" is where a code host shows the workflow's results.
    elsewhere = re.compile(r"[a-z][a-z+.-]*:|#|\.\./\.\./actions/")
    relative = [target.split("#")[0] for target in targets if not elsewhere.match(target)]
    return [target for target in relative if not (folder / target).exists()]


# The notebooks.


@pytest.fixture
def notebook(path) -> dict:
    return json.loads(path.read_text("utf-8"))


def faults(notebook: dict) -> dict[str, list]:
    """What is wrong with a notebook, by kind; kinds without a fault are left out."""
    texts = [source(c) for c in notebook["cells"] if c["cell_type"] == "markdown"]
    counts = [cell["execution_count"] for cell in code_cells(notebook)]
    run = [count for count in counts if count is not None]
    found = {
        "never run": cells_without_count(notebook),
        "failed": stored_errors(notebook),
        "not run in order in a fresh kernel": run if run != [*range(1, len(run) + 1)] else [],
        # Code hosts then refuse to show the notebook.
        "widget state": [key for key in notebook["metadata"] if key == "widgets"],
        "defines what the package defines": sorted(
            notebook_functions(notebook) & public_functions(PACKAGE)
        ),
        "not one heading in the first cell": [n for n in first_level_headings(notebook) if n],
        "long code cells": [
            source(c) for c in code_cells(notebook) if source(c).count("\n") >= MAX_CELL_LINES
        ],
        "long text cells": [text for text in texts if count_words(text) > MAX_CELL_WORDS],
        "wide lines": [line for text in texts for line in long_lines(text)],
    }
    return {kind: some for kind, some in found.items() if some}


@each_notebook
def test_a_notebook_has_no_fault(notebook):
    assert faults(notebook) == {} and first_level_headings(notebook) == [0]


@each_notebook
def test_functions_that_a_notebook_shows_are_short(notebook):
    lengths = function_lengths(PACKAGE)
    shown = shown_objects(notebook)
    assert shown and {name: lengths[name] for name in shown if lengths[name] > MAX_CELL_LINES} == {}


# The package.


def test_imports_run_one_way_and_never_in_a_circle():
    graph = imports(PACKAGE)
    assert len(graph) > 40 and imports_up(graph) == set()
    assert circle(graph) == []


def test_every_room_keeps_to_its_budget():
    lines = {
        module_of(path.relative_to(PACKAGE)): len(path.read_text("utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert over_budget(lines) == {}


def test_the_package_says_what_it_offers():
    assert all(hasattr(bert_tutorial, name) for name in bert_tutorial.__all__)
    assert len(set(bert_tutorial.__all__)) == len(bert_tutorial.__all__)


def test_importing_the_package_draws_in_no_matplotlib_and_no_ipython():
    code = "import sys, bert_tutorial; print(sorted({'matplotlib', 'IPython'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# The environment.


def test_conda_installs_what_pip_installs():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == PROJECT["name"]
    names = {
        re.split(r"[<>=]", dep)[0]: dep
        for dep in environment["dependencies"]
        if isinstance(dep, str)
    }
    assert set(names) == {"python", "pip"}
    version = names["python"].removeprefix("python=")  # in the form that Binder understands
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    assert [dep["pip"] for dep in environment["dependencies"] if isinstance(dep, dict)] == [
        ["-c constraints.txt", "-e .[lab]"]
    ]
    assert set(PROJECT["optional-dependencies"]) == {"lab", "test"}


def test_every_dependency_has_an_exact_version_that_it_allows():
    assert unpinned(all_requirements(), pinned((ROOT / "constraints.txt").read_text("utf-8"))) == []


def too_new(distributions, python: str) -> list[str]:
    """Installed packages that need a newer Python."""
    needs = {f"{d.name} {d.version}": d.metadata["Requires-Python"] for d in distributions}
    return [
        name for name, need in needs.items() if need and not SpecifierSet(need).contains(python)
    ]


@pytest.mark.parametrize("python", ["3.11.0", "3.13.0"])
def test_exact_versions_suit_every_python_that_is_promised(python):
    pins = pinned((ROOT / "constraints.txt").read_text("utf-8"))
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    installed = [d for d in metadata.distributions() if canonicalize_name(d.name) in pins]
    assert len(installed) > 50 and too_new(installed, python) == []
    assert too_new(installed, "3.8.0") != []  # it finds what it is for


def test_exact_versions_are_those_of_no_special_build():
    pins = pinned((ROOT / "constraints.txt").read_text("utf-8"))
    assert [f"{name}=={version}" for name, version in pins.items() if "+" in version] == []


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert PROJECT["version"] == bert_tutorial.__version__ == citation["version"]


# The files.


def test_no_tracked_file_names_a_place_on_one_machine_or_a_package_index():
    found = {
        str(path.relative_to(ROOT)): private_addresses(path.read_bytes())
        for path in tracked_files()
    }
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_narrow_and_their_links_lead_somewhere(name):
    path = ROOT / name
    assert long_lines(path.read_text("utf-8")) == []
    assert broken_links(path.read_text("utf-8"), path.parent) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_are_complete(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form["name"] and form["description"]
    assert all(field["attributes"]["label"] for field in form["body"])


# Each helper finds what it is for.


def cell(kind: str, text: str, **more) -> dict:
    return {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True), **more}


FAILED = {"output_type": "error", "ename": "E", "evalue": "bad", "traceback": []}
DEFINES = "%time 1\ndef tokenize(): ...\nVocab = lambda: 0\nmask = Vocab"
BAD_NOTEBOOK = {
    "cells": [
        cell("markdown", "text\n# One\n```python\n# no\n```"),
        cell("code", "x = 1", execution_count=None, outputs=[]),
        cell("markdown", "# Two\n## no"),
        cell("code", DEFINES, execution_count=2, outputs=[FAILED]),
        cell("code", "x = 1\n" * 41, execution_count=None, outputs=[]),
        cell("markdown", "word " * 121),
    ],
    "metadata": {"widgets": {}},
}


def test_the_helpers_find_bad_notebooks():
    found = faults(BAD_NOTEBOOK)
    assert found["failed"] == ["E: bad"] and found["never run"] == ["x = 1", "x = 1\n" * 41]
    assert found["not run in order in a fresh kernel"] == [2] and found["widget state"]
    assert found["not one heading in the first cell"] == [2]
    assert found["defines what the package defines"] == ["Vocab", "tokenize"]
    assert notebook_functions(BAD_NOTEBOOK) == {"tokenize", "Vocab"}
    assert len(found["long code cells"]) == len(found["long text cells"]) == 1
    assert found["wide lines"] == ["word " * 121]


def test_the_helpers_find_imports_that_lead_up_and_circles(tmp_path):
    package = tmp_path / "bert_tutorial"
    for name, code in {
        "__init__": "from .text.pairs import a",
        "cache": "",
        "text/__init__": "",
        "text/pairs": "from ..cache import b\nfrom .masking import c",
        "text/masking": "def f():\n    from . import pairs\nif TYPE_CHECKING:\n"
        "    from ..studio.runs import queue",
        "studio/runs/queue": "import bert_tutorial.text.pairs\nfrom bert_tutorial import cache",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(code)
    graph = imports(package)
    assert graph[""] == {"text.pairs"} and graph["text.pairs"] == {"cache", "text.masking"}
    assert graph["studio.runs.queue"] == {"text.pairs", "cache"}
    assert imports_up(graph) == {("text.masking", "studio.runs.queue")}
    assert {"text.pairs", "text.masking"} <= set(circle(graph))
    assert circle({"a": {"b"}, "b": set()}) == []
    assert over_budget({"network.a": 500, "network.b": 170, "cache": 9}) == {"network": 30}


def test_the_helpers_find_heavy_prose_and_long_functions(tmp_path):
    wide = "word " * 30
    assert long_lines(f"{wide}\n| {wide}|\nshort\n```\n{wide}\n```\n") == [wide]
    assert count_words("It's 3.5 long-legged `words`, **not** six.\n```python\ncode here\n```") == 6
    (tmp_path / "a.py").write_text(
        "def f():\n    x = 1\n    return x\nclass A:\n    def g(self): ...\n"
    )
    assert function_lengths(tmp_path) == {"f": 3, "A": 2, "A.g": 1}
    assert shown_objects({"cells": [cell("code", "show_source(f, A.g)\nx = 1")]}) == {"f", "A.g"}


def test_the_helpers_find_missing_versions_broken_links_and_private_addresses(tmp_path):
    pins = pinned("# a comment\na-b==1.0\nc==2.0+cpu\n")
    assert pins == {"a-b": "1.0", "c": "2.0+cpu"}
    assert unpinned(["A_b>=0.5", "a.b>=1.5", "d"], pins) == ["a.b>=1.5", "d"]
    assert broken_links(
        "[a](no.md#x) ![b](no.png) [c](#x) [d](https://e.org/f) `[g](h)`", tmp_path
    ) == [
        "no.md",
        "no.png",
    ]
    for bad in ("file:" + "///a", "--extra-index" + "-url x", "https://e.org/sim" + "ple/ "):
        assert private_addresses(bad.encode())
    assert private_addresses(b"https://e.org a file: simple, /simpler") == []
