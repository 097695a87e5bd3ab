"""The house rules that no linter knows."""

import ast
import importlib
import operator
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"})
TEXT = {"", *".py .md .toml .yaml .yml .proto .sh .js .css .html .sql .xml".split()}
GENERATED = re.compile(r"_pb2\.pyi?$|^requirements/|^LICENSE$|^tests/wire/golden/")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
LINE_MAX = 100

VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
UNFINISHED = re.compile(r"\b(FIX" + r"ME|TO" + r"DO)\b")
CRASHING = re.compile(r"\.list_consumer_group_offsets\(")
MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|work|Users)/\w")
# A package index in a lock or a configuration would bind everybody to one network.
INDEX_OPTION = re.compile(
    r"(index|extra|find)[-_](url|index|links)|<(repositor|mirror)|registry *="
)
LOCKS = {"requirements", "package-lock.json"}

# Run or loaded by name, so nobody imports them.
ENTRY_POINTS = {"cli.app", "benchmarks.fleet.plot"}
# Second implementations of a port, which the contract suites run.
FOR_TESTS = "adapters.memory."


def tracked() -> list[Path]:
    """Every file that belongs to the repository or is about to."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True, timeout=30,
    ).stdout.split("\n")  # fmt: skip
    return sorted(Path(name) for name in set(listing) if (ROOT / name).is_file())


def files() -> list[Path]:
    """Every text file that a person wrote."""
    return [p for p in tracked() if p.suffix in TEXT and not GENERATED.search(str(p))]


def sources() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def lines(path: Path) -> list[str]:
    return (ROOT / path).read_text().split("\n")


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported_modules(path: Path) -> set[str]:
    """Every module, and every `module.name` that may be one, that a file mentions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        match node:
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module} | {f"{module}.{name.name}" for name in names}
            case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+(:\w+)?", text):
                found.add(text.split(":")[0])  # "serve_apps.query.app:deployment"
            case _:
                pass
    return found


def test_files_are_short() -> None:
    long = {str(path): len(lines(path)) for path in sources() if len(lines(path)) > FILE_LINES_MAX}
    assert not long, f"files above {FILE_LINES_MAX} lines hold more than one idea: {long}"


def test_functions_are_short() -> None:
    long = [
        f"{path}:{function.lineno} {function.name}"
        for path in sources()
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long, f"functions above {FUNCTION_LINES_MAX} lines: {long}"


def test_lines_are_short() -> None:
    code = [path for path in files() if path.suffix in {".py", ".sh", ".proto", ".js", ".css"}]
    long = [
        f"{path}:{number}"
        for path in code
        for number, line in enumerate(lines(path), 1)
        if len(line) > LINE_MAX
    ]
    assert not long, f"lines above {LINE_MAX} characters: {long}"


def test_modules_are_named_by_what_they_do() -> None:
    vague = [str(path) for path in sources() if VAGUE & {path.stem, *path.parts[:-1]}]
    assert not vague, f"these names say nothing: {vague}"


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        pytest.param(UNFINISHED, "finish it or write an issue", id="unfinished"),
        pytest.param(MACHINE_PATH, "a path of one machine", id="machine-path"),
        pytest.param(CRASHING, "adapters/kafka/committed_offsets.py tells why", id="crashing"),
    ],
)
def test_no_line_says(pattern: re.Pattern[str], why: str) -> None:
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path in files()
        for number, line in enumerate(lines(path), 1)
        if pattern.search(line)
    ]
    assert not found, f"{why}: {found}"


def test_locks_name_no_host() -> None:
    locks = [path for path in tracked() if LOCKS & set(path.parts)]
    found = [f"{p}:{n}" for p in locks for n, line in enumerate(lines(p), 1) if ":/" in line]
    assert locks, "there are locked requirements"
    assert not found, f"these lines bind the lock to a package index: {found}"


def test_configuration_names_no_package_index() -> None:
    configuration = [path for path in tracked() if path.suffix not in {".py", ".md"}]
    found = [
        f"{path}:{number}"
        for path in configuration
        if path.suffix in TEXT and not LOCKS & set(path.parts)
        for number, line in enumerate(lines(path), 1)
        if INDEX_OPTION.search(line.replace("--no-emit-index-url", ""))
    ]
    assert not found, f"these lines name a package index: {found}"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_comes_from_this_repository(package: str) -> None:
    file = importlib.import_module(package).__file__
    assert file is not None
    assert Path(file).parent == ROOT / package, f"{package} is somebody else's: {file}"


def test_operator_stays_the_standard_library() -> None:
    assert operator.eq(1, 1)
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_every_module_is_used() -> None:
    ours = {module_name(path) for path in sources() if path.parts[0] in PACKAGES}
    used = {
        module
        for path in sources()
        for module in imported_modules(path)
        if module != module_name(path)
        if path.parts[0] != "tests" or module.startswith(FOR_TESTS)
    }
    packages = {name for name in ours if (ROOT / name.replace(".", "/")).is_dir()}
    scripts = {name for name in ours if name.startswith("models.train.")}
    dead = ours - used - packages - scripts - ENTRY_POINTS
    assert not dead, f"nobody imports {sorted(dead)}"
