"""Where a benchmark's report goes."""

from pathlib import Path
from typing import Annotated, Any

import typer

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the report there; - prints.")]


def write_report(report: dict[str, Any], json_file: Path | None) -> None:
    """As JSON, if anywhere."""
    import json

    if json_file is None:
        return
    text = json.dumps(report, indent=1)
    if json_file == Path("-"):
        print(text)
    else:
        json_file.write_text(text + "\n")
