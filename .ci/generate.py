"""Writes the files that are made from others; `--check` says which of them are out of date.

fleetpulse/telemetry_pb2.py[i]  from fleetpulse/telemetry.proto
docs/settings.md                from fleetpulse/settings.py
operator/crds/*.yaml            from operator/src/fleet_operator/resource.py
"""

import ast
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeGuard

from grpc_tools import protoc
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from fleet_operator import crd
from fleetpulse import settings

ROOT = Path(__file__).resolve().parent.parent
HEAD = """# Settings

Each is an environment variable. Generated from `fleetpulse/settings.py` by `make generate`.
"""


def main() -> int:
    """Write everything, or compare everything; 1 when something is out of date."""
    check = "--check" in sys.argv[1:]
    stale = []
    made = {
        **protobuf_code(),
        "docs/settings.md": settings_page(),
        "operator/crds/fleetpulsecluster.yaml": crd.to_yaml(),
    }
    for path, text in made.items():
        target = ROOT / path
        if not check:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            stale.append(path)
    for path in stale:
        print(f"{path} is out of date: run 'make generate'", file=sys.stderr)
    return 1 if stale else 0


def protobuf_code() -> dict[str, str]:
    """Path -> text of the code that protoc makes."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--python_out={folder}", f"--pyi_out={folder}"]
        status = protoc.main(["protoc", f"-I{ROOT}", *outputs, "fleetpulse/telemetry.proto"])
        if status:
            raise SystemExit(status)
        made = sorted(Path(folder).rglob("*_pb2.py*"))
        return {str(path.relative_to(folder)): path.read_text() for path in made}


def settings_page() -> str:
    """The table of all environment variables, by group."""
    words = documentation(ROOT / "fleetpulse" / "settings.py")
    fields = settings.Settings.model_fields
    plain = {name: field for name, field in fields.items() if not is_group(field.annotation)}
    sections = [HEAD, *table("FLEETPULSE_", plain, words["Settings"])]
    for name, field in fields.items():
        group = field.annotation
        if is_group(group):
            sections.append(f"\n## {name}\n\n{group.__doc__}\n")
            prefix = f"FLEETPULSE_{name.upper()}__"
            sections += table(prefix, group.model_fields, words[group.__name__])
    return "\n".join(sections) + "\n"


def is_group(annotation: object) -> TypeGuard[type[BaseModel]]:
    """True for a field that holds a group of settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def table(prefix: str, fields: dict[str, Any], words: dict[str, str]) -> list[str]:
    """Rows of one group: variable, default, what it is."""
    rows = ["| variable | default | |", "|---|---|---|"]
    for name, field in fields.items():
        rows.append(
            f"| `{prefix}{name.upper()}` | {shown(field.default)} | {words.get(name, '')} |"
        )
    return rows


def shown(default: object) -> str:
    """A default as a person would set it; paths inside the repository are relative to it."""
    if default is None or default is PydanticUndefined:
        return ""
    if isinstance(default, Path) and default.is_relative_to(ROOT):
        default = default.relative_to(ROOT)
    return f"`{default}`" if str(default) else "(empty)"


def documentation(path: Path) -> dict[str, dict[str, str]]:
    """Class -> field -> the string below the field."""
    found: dict[str, dict[str, str]] = {}
    for item in ast.parse(path.read_text()).body:
        if not isinstance(item, ast.ClassDef):
            continue
        words = found.setdefault(item.name, {})
        for field, text in zip(item.body, item.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                match text:
                    case ast.Expr(value=ast.Constant(value=str(sentence))):
                        words[field.target.id] = " ".join(sentence.split())
    return found


if __name__ == "__main__":
    sys.exit(main())
