import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The compiled test program of support/host_programs.py: 3 x 2 PEs."""
    from host_programs import write_program

    import meshlang

    return meshlang.compile(write_program(tmp_path_factory.mktemp("host")))


@pytest.fixture()
def fabric(program):
    return program.start(max_cycles=100_000)
