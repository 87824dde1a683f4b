"""Port maps: tensors on PEs as host scripts of early SDKs place them."""

import subprocess
import sys

import numpy as np
import pytest

from meshlang.diag import MeshlangError
from meshlang.host.sdk.port_maps import convert_input_tensor, format_output_tensor, prepare_output_tensor


def test_blocks_of_a_matrix():
    a = np.arange(6 * 8, dtype=np.float32).reshape(6, 8)
    px, py, w, h, n, data = convert_input_tensor("{ A[i=0:5][j=0:7] -> [PE[j//4, i//2] -> index[i%2, j%4]] }", a)
    assert (px, py, w, h, n) == (0, 0, 2, 3, 8) and data.dtype == np.uint32 and data.shape == (48,)
    blocks = data.view(np.float32).reshape(3, 2, 2, 4)
    for y in range(3):
        for x in range(2):
            np.testing.assert_array_equal(blocks[y, x], a[2 * y : 2 * y + 2, 4 * x : 4 * x + 4])


def test_the_order_on_a_pe_is_that_of_the_index():
    a = np.arange(6, dtype=np.int16).reshape(2, 3) - 3
    *_, data = convert_input_tensor("{A[i=0:1, j=0:2] -> [PE[3, 1] -> index[j, i]]}", a)
    assert data.astype(np.uint16).view(np.int16).tolist() == a.T.ravel().tolist()
    assert int(data.max()) < 1 << 16
    *_, data = convert_input_tensor("{ A[i=0:1, j=0:2] -> [PE[3, 1] -> index[5 - (3 * i + j)]] }", a)
    assert data.astype(np.uint16).view(np.int16).tolist() == a.ravel()[::-1].tolist()


def test_out_and_back():
    port_map = "{ y[i=0:3, j=0:5] -> [PE[1 + j / 3, 2 + i mod 2] -> index[j mod 3, i // 2]] }"
    a = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float16)
    px, py, w, h, n, data = convert_input_tensor(port_map, a)
    assert (px, py, w, h, n) == (1, 2, 2, 2, 6)
    *place, empty = prepare_output_tensor(port_map, np.float16)
    assert place == [px, py, w, h, n] and not empty.any()
    empty[:] = data
    np.testing.assert_array_equal(format_output_tensor(port_map, np.float16, empty), a)


@pytest.mark.parametrize(
    ("port_map", "text"),
    [
        ("A[i=0:3] -> PE[0, 0]", "cannot be read"),
        ("{ A[i=0:3] -> [PE[i] -> index[0]] }", "PE[i]"),
        ("{ A[i=1:3] -> [PE[0, 0] -> index[i]] }", "does not begin at 0"),
        ("{ A[i=0..3] -> [PE[0, 0] -> index[i]] }", "i=0..3"),
        ("{ A[i=0:3] -> [PE[k, 0] -> index[i]] }", "expression k"),
        ("{ A[i=0:3] -> [PE[i//0, 0] -> index[i]] }", "expression i//0"),
        ("{ A[i=0:3] -> [PE[__import__('os'), 0] -> index[i]] }", "__import__"),
        ("{ A[i=0:7] -> [PE[i/3, 0] -> index[i]] }", "2 to 3 elements on the PEs of 3 x 1"),
        ("{ A[i=0:3] -> [PE[-1, 0] -> index[i]] }", "PE (-1, 0)"),
    ],
)
def test_maps_that_cannot_be(port_map, text):
    with pytest.raises(MeshlangError) as caught:
        prepare_output_tensor(port_map, np.float32)
    assert caught.value.diagnostics[0].code == "MS0928" and text in caught.value.diagnostics[0].message


def test_arrays_that_do_not_fit():
    port_map = "{ A[i=0:3] -> [PE[0, 0] -> index[i]] }"
    for call, code in [
        (lambda: convert_input_tensor(port_map, np.zeros(5, np.float32)), "MS0911"),
        (lambda: convert_input_tensor(port_map, np.zeros(4, np.float64)), "MS0912"),
        (lambda: prepare_output_tensor(port_map, np.int8), "MS0912"),
        (lambda: format_output_tensor(port_map, np.float32, np.zeros(3, np.uint32)), "MS0911"),
    ]:
        with pytest.raises(MeshlangError) as caught:
            call()
        assert caught.value.diagnostics[0].code == code


def test_scripts_import_it(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "from cerebras.sdk.runtime import runtime_utils\nimport numpy as np\n"
        "print(runtime_utils.convert_input_tensor('{ x[i=0:1] -> [PE[i, 0] -> index[0]] }', np.array([7, 8], np.int32)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "meshlang", "cs_python", str(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("(0, 0, 2, 1, 1, array([7, 8]")


@pytest.mark.parametrize(
    "text, name",
    [
        ("from cerebras.elf.cs_elf_runner import CSELFRunner\nCSELFRunner(['a.elf'], None)", "CSELFRunner"),
        ("from cerebras.elf.cs_elf_runner.lib import csl_utils\ncsl_utils.read_trace(1, 1, 'a')", "read_trace"),
        ("from cerebras.elf.cself import ELFMemory\nELFMemory('a.elf')", "ELFMemory"),
        ("from cerebras.elf.cself import ELFLoader\nELFLoader('a.elf')", "ELFLoader"),
    ],
)
def test_what_is_before_memcpy_or_of_elf_files_is_refused_by_name(tmp_path, text, name):
    script = tmp_path / "run.py"
    script.write_text(text)
    done = subprocess.run([sys.executable, "-m", "meshlang", "cs_python", str(script)], capture_output=True, text=True)
    assert done.returncode == 1 and "MS0922" in done.stderr and name in done.stderr and "Traceback" not in done.stderr
