"""Examples in the 2.10 dialect that differ from those of 1.4 in what they use, run as they are. The whole folder:
`meshlang conformance`.

MESHLANG_SDK_EXAMPLES names a checkout of github.com/Cerebras/sdk-examples (2.10). Nothing of it is committed here.
"""

import os
from pathlib import Path

import pytest

from meshlang.commands.conformance import run_script

CHECKOUT = os.environ.get("MESHLANG_SDK_EXAMPLES")
SCRIPTS = [
    ("benchmarks/25-pt-stencil/commands_wse2.sh", "SUCCESS"),  # routes as bits
    # named structs as params, streaming ids as numbers
    ("benchmarks/histogram-torus/commands_wse2.sh", "SUCCESS"),
    ("benchmarks/fft-1d-2d/commands_wse3.sh", "SUCCESS"),  # fabric DSDs without a color
    ("benchmarks/spmv-hypersparse/commands_wse2.sh", "PASS"),
    ("tutorials/gemv-09-streaming/commands_wse3.sh", "SUCCESS"),  # get_streaming_fabout_dsd
    ("tutorials/topic-16-queue-flush/commands_wse2.sh", "SUCCESS"),
    ("tutorials/topic-16-queue-flush/commands_wse3.sh", "SUCCESS"),  # queues that change colors
]


@pytest.mark.skipif(not CHECKOUT, reason="MESHLANG_SDK_EXAMPLES names no checkout of sdk-examples")
@pytest.mark.parametrize("script, says", SCRIPTS)
def test_script(script, says):
    root = Path(CHECKOUT).resolve()
    result, output = run_script(root, root / script, "", 600)
    assert result.outcome == "pass" and says in output, output[-4000:]
