"""The complete program in docs/host.md runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs" / "host.md"


def test_the_example(tmp_path):
    blocks = re.findall(
        r"^```(csl|python)\n(?://|#) (\w+\.\w+): .*?\n(.*?)^```",
        DOCS.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert [name for _, name, _ in blocks] == ["double.csl", "run.py"]
    for _, name, text in blocks:
        (tmp_path / name).write_text(text)
    result = subprocess.run(
        [sys.executable, "-m", "meshlang", "cs_python", "run.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("doubled: [ 0.  2.  4.")
