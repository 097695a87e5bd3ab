"""How many shards a person wants of a running stack: a file that its owner looks at."""

from pathlib import Path


def want_shards(data_folder: Path, count: int) -> None:
    """Ask the owner for `count` shards."""
    fresh = _file(data_folder).with_suffix(".new")
    fresh.write_text(f"{count}\n")
    fresh.replace(_file(data_folder))


def shards_wanted(data_folder: Path) -> int | None:
    """What was asked for since the stack was started."""
    try:
        return int(_file(data_folder).read_text())
    except FileNotFoundError:
        return None


def forget_shards_wanted(data_folder: Path) -> None:
    """A stack begins with what its settings say."""
    _file(data_folder).unlink(missing_ok=True)


def _file(data_folder: Path) -> Path:
    return data_folder / "shards-wanted"
