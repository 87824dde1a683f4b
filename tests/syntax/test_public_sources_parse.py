"""Published programs that no one here wrote must parse. The checkouts are named by environment variables."""

import os
from pathlib import Path

import pytest

from meshlang.syntax.parser import parse_file


@pytest.mark.parametrize("variable", ["MESHLANG_CSL_EXAMPLES", "MESHLANG_SDK_EXAMPLES", "MESHLANG_WAFERLLM"])
def test_all_files_parse(variable):
    root = os.environ.get(variable)
    if not root:
        pytest.skip(f"{variable} names no checkout")
    files = sorted(Path(root).rglob("*.csl"))
    assert files, f"no .csl files under {root}"
    for path in files:
        parse_file(path)
