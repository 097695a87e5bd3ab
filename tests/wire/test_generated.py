"""Code and pages that are made from other files are up to date."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_generated_files_match_their_sources() -> None:
    answer = subprocess.run(
        [sys.executable, ROOT / ".ci" / "generate.py", "--check"],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
