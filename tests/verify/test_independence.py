"""The offline computation may share nothing with what it checks but the wire's messages."""

import ast
from pathlib import Path

OFFLINE = Path(__file__).resolve().parents[2] / "benchmarks" / "offline"
OURS = {
    "actors",
    "adapters",
    "batch",
    "devstack",
    "fleetpulse",
    "models",
    "serve_apps",
    "simulator",
}


def test_offline_imports_only_the_protobuf_messages() -> None:
    imported = set()
    for file in OFFLINE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                imported |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
    ours = {module for module in imported if module.split(".")[0] in OURS}
    assert ours == {"fleetpulse.telemetry_pb2"}, "an error in shared code would not be found"
