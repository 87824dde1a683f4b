"""The VS Code extension's files agree with the language: the grammar knows its words, the snippets are programs."""

import json
import re
from pathlib import Path

import pytest

from meshlang.inspect.language.answers import TYPES
from meshlang.syntax.parser import parse_text
from meshlang.syntax.tables import tables

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "editor" / "vscode"
SNIPPETS = json.loads((FOLDER / "snippets" / "csl.json").read_text(encoding="utf-8"))


def rules(node):
    if isinstance(node, dict):
        if "match" in node or "begin" in node:
            yield node
        for value in node.values():
            yield from rules(value)
    elif isinstance(node, list):
        for value in node:
            yield from rules(value)


GRAMMAR = list(rules(json.loads((FOLDER / "syntaxes" / "csl.tmLanguage.json").read_text(encoding="utf-8"))))


def scope_of(text: str) -> str:
    """The scope that the grammar gives the beginning of a text: of the rules that match there, the first."""
    order = {id(r): n for n, r in enumerate(GRAMMAR)}
    found = [r for r in GRAMMAR if re.match(r.get("match", r.get("begin")), text)]
    rule = min(found, key=lambda r: order[id(r)])
    return rule.get("name") or rule["captures"]["1"]["name"]


def test_every_word_has_a_scope():
    words = set(tables().words)
    assert len(words) > 20
    for word in words | {"layout"}:
        assert re.match("keyword|storage|constant.language|support.type", scope_of(word + " ")), word
    for name in TYPES:
        assert re.match("support.type|storage", scope_of(name + " ")), name


@pytest.mark.parametrize(
    "text, scope",
    [
        ("// a", "comment.line.double-slash.csl"),
        ('"a"', "string.quoted.double.csl"),
        ("0x1f", "constant.numeric.hex.csl"),
        ("1.5e-3", "constant.numeric.float.csl"),
        ("12", "constant.numeric.decimal.csl"),
        ("@fmacs", "support.function.builtin.csl"),
        ("fn main", "storage.type.function.csl"),
        ("param n", "storage.type.csl"),
        (".width", "variable.other.member.csl"),
        ("=>", "keyword.operator.csl"),
    ],
)
def test_scopes(text, scope):
    assert scope_of(text) == scope


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_are_programs(name):
    text = "\n".join(SNIPPETS[name]["body"])
    defaults = {m[1]: m[2] for m in re.finditer(r"\$\{(\d):([^}]*)\}", text)}
    text = re.sub(r"\$\{(\d):[^}]*\}", lambda m: defaults[m[1]], text)
    text = re.sub(r"\$([1-9])", lambda m: defaults[m[1]], text).replace("$0", "")
    assert "$" not in text
    parse_text(text, name)


def test_the_extension_says_what_it_has():
    package = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))
    paths = [package["main"]]
    for part in ("grammars", "snippets"):
        paths += [entry["path"] for entry in package["contributes"][part]]
    paths += [entry["configuration"] for entry in package["contributes"]["languages"]]
    assert all((FOLDER / p).is_file() for p in paths)
    script = (FOLDER / package["main"]).read_text(encoding="utf-8")
    for command in package["contributes"]["commands"]:
        assert f'registerCommand("{command["command"]}"' in script
