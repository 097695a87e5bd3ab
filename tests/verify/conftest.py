"""What several of the comparisons with the offline computation need."""

from pathlib import Path

import pytest

from tests.verify.tiny_log import TinyLog, profile


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    TinyLog(folder, profile())
    return folder
