from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox import Options, Sandbox


@pytest.fixture
def receipts(tmp_path: Path) -> Path:
    return tmp_path / "receipts.jsonl"


@pytest.fixture
async def internet(receipts: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(Options(sites=2, receipts=receipts)) as sandbox:
        yield sandbox
