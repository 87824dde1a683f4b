"""The compiled grammar and its cache."""

import logging
import os
import subprocess
import sys

from meshlang.syntax import tables
from meshlang.syntax.build import Builder
from meshlang.syntax.source import SourceFile


def test_only_dangling_else_is_ambiguous(caplog):
    from lark import Lark, logger

    logger.propagate = True
    with caplog.at_level(logging.DEBUG, logger=logger.name):
        Lark(tables.grammar_text(), parser="lalr", lexer="basic", start=["module", "expression"], debug=True)
    conflicts = [r.getMessage() for r in caplog.records if "onflict" in r.getMessage()]
    assert len(conflicts) == 2
    assert all("terminal ELSE" in c for c in conflicts)


def test_every_alternative_has_its_method():
    rules = Builder(SourceFile("x", "")).rules(tables.tables())
    assert all(function is not None or n == 1 for n, _, function in rules)


def _run(code, cache):
    environment = {**os.environ, "MESHLANG_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_lark_is_loaded_only_for_a_cold_cache(tmp_path):
    code = (
        "import sys; from meshlang.syntax.parser import parse_text; parse_text('const a = 1;'); "
        "print('lark' in sys.modules)"
    )
    assert _run(code, tmp_path).strip() == "True"
    assert _run(code, tmp_path).strip() == "False"
    for file in tmp_path.glob("*/tables"):
        file.write_bytes(b"damaged")
    assert _run(code, tmp_path).strip() == "True"
    assert _run("import meshlang, sys; print('lark' in sys.modules)", tmp_path).strip() == "False"


def test_without_a_cache(tmp_path):
    code = "from meshlang.syntax.parser import parse_text; print(len(parse_text('const a = 1;').items))"
    assert _run(code, "").strip() == "1"
    (tmp_path / "file").touch()
    assert _run(code, tmp_path / "file" / "below").strip() == "1"
