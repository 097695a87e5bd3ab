"""Imported before Ray Serve is.

`ray.serve` imports pandas where there is one, and with it pyarrow, for an encoder of data frames
that nothing here calls: a fifth of the CPU time of a Serve process until it serves. To that module
alone there is none.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType

_WITHOUT = "ray.serve._private.utils"
_HIDDEN = "pandas"


class _Hidden(MetaPathFinder):
    """Finds nothing, and for one importer of one package says so."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == _HIDDEN and _importer() == _WITHOUT:
            raise ModuleNotFoundError(f"{_WITHOUT} does without {_HIDDEN}", name=_HIDDEN)
        return None


def _importer() -> str:
    """The module that an import statement being executed is in."""
    frame = sys._getframe(2)  # noqa: SLF001
    while frame.f_back and _name(frame).startswith("importlib."):
        frame = frame.f_back
    return _name(frame)


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))  # what `exec` runs may have none


sys.meta_path.insert(0, _Hidden())
