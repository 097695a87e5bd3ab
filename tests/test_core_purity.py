"""The core is a function of the log: it reads no clock, opens no door, rolls no dice."""

import ast
from pathlib import Path

import pytest

CORE = Path(__file__).resolve().parent.parent / "fleetpulse"
# Reads the environment for the composition root; no step ever calls it.
OUTSIDE = {"settings.py"}

PURE_MODULES = set(
    """bisect collections contextlib dataclasses enum fleetpulse fnmatch functools google hashlib
    heapq itertools json math numpy operator pydantic re struct typing warnings yaml zlib
    """.split()
)
IMPURE_FUNCTIONS = {"open", "print", "input", "exec", "eval", "hash", "id", "__import__"}
IMPURE_METHODS = {"now", "utcnow", "today", "default_rng", "fromfile", "tofile"}


def impurities(source: str) -> list[str]:
    """What a module uses that could make its results differ between two runs."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [n.name for n in names if n.name.split(".")[0] not in PURE_MODULES]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] not in PURE_MODULES:
                found.append(module)
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_FUNCTIONS:
                found.append(f"{name}()")
            case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
                found.append(f".{name}()")
            case _:
                pass
    return found


def _module(path: Path) -> str:
    return path.relative_to(CORE).as_posix()


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=_module)
def test_core_is_a_function_of_the_log(path: Path) -> None:
    found = impurities(path.read_text())
    if path.name in OUTSIDE:
        assert found, f"{path.name} no longer needs its exemption"
    else:
        assert not found, f"{path.name} uses {found}: results would not be a function of the log"


@pytest.mark.parametrize(
    "source",
    ["import time", "from datetime import datetime", "np.random.default_rng(1)", "open('x')"],
)
def test_impurity_is_noticed(source: str) -> None:
    assert impurities(source)
