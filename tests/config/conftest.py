from collections.abc import Callable
from pathlib import Path

import pytest

from router.config import Config, loads

GOOD = (Path(__file__).parent / "good.yaml").read_text(encoding="utf-8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Holds the secrets that good.yaml names."""
    for name in ("redis.secret", "hook.secret"):
        file = tmp_path / name
        file.write_text("s3cret\n", encoding="utf-8")
        file.chmod(0o600)
    return tmp_path


@pytest.fixture
def good(directory: Path) -> Callable[[str], Config]:
    """Reads a text as if it were good.yaml."""
    return lambda text: loads(text, str(directory / "good.yaml"))


@pytest.fixture
def good_text() -> str:
    return GOOD
