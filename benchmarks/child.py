"""The processes of a benchmark: each a module of this package that answers in lines of JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from devstack.launch import environment_of
from devstack.processes import STACK_VARIABLE
from fleetpulse.errors import FleetpulseError
from fleetpulse.settings import Settings


def start_module(
    settings: Settings, name: str, *arguments: Path | str, stack_id: str = "", told: bool = False
) -> "subprocess.Popen[str]":
    """Start `python -m name arguments` with these settings, marked as a process of the stack.

    told: it waits for lines on its standard input.
    """
    return subprocess.Popen(
        [sys.executable, "-m", name, *map(str, arguments)],
        env=os.environ | environment_of(settings) | {STACK_VARIABLE: stack_id},
        stdin=subprocess.PIPE if told else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]", line: str) -> dict[str, Any]:
    """A line of the process; raises FleetpulseError when it ended without one."""
    if not line.strip():
        raise FleetpulseError(f"{process.args!r} ended with status {process.wait(30)}")
    told: dict[str, Any] = json.loads(line)
    return told
