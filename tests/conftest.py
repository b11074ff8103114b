"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.line import Line, make_line

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared_data() -> Path:
    """Folder of real data and weights that the project does not ship: $ZJ_DATA, or shared/data beside it."""
    folder = Path(os.environ.get("ZJ_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs real data: no folder {folder} (set ZJ_DATA to one)")
    return folder


@pytest.fixture(scope="session")
def line(tmp_path_factory) -> Line:
    """Backbone, SFT adapter, reward model and preferences of a line in miniature. To be read only."""
    return make_line(tmp_path_factory.mktemp("line"))
