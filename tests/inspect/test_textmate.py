"""The grammar for editors, in the engine that editors use it with; and the packed extension.

MESHLANG_NODE_MODULES names a node_modules folder: `npm install vscode-textmate vscode-oniguruma @vscode/vsce`; packing the extension asks the npm
registry for what it needs. Without it the tests are skipped; test_editor_files.py knows the grammar without the engine.
"""

import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from meshlang.syntax.lexer import END, tokenize
from meshlang.syntax.source import SourceFile
from meshlang.syntax.tables import tables

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "docs" / "editor" / "vscode"
NODE = Path(os.environ.get("MESHLANG_NODE_MODULES") or "/nowhere")
SUITES = [
    os.environ[n] for n in ("MESHLANG_CSL_EXAMPLES", "MESHLANG_WAFERLLM", "MESHLANG_SDK_EXAMPLES") if os.environ.get(n)
]

engine = pytest.mark.skipif(
    not (NODE / "vscode-textmate").is_dir() or shutil.which("node") is None,
    reason="MESHLANG_NODE_MODULES names no folder with vscode-textmate and vscode-oniguruma",
)
WORD = "keyword|storage|constant.language|support.type"
WANTED = {
    "BUILTIN": "support.function.builtin",
    "STRING": "string.quoted.double|constant.character.escape",
    "CHAR": "string.quoted.single|constant.character.escape",
    "INT": "constant.numeric",
    "FLOAT": "constant.numeric.float",
}


def scopes_of(texts):
    script = Path(__file__).parent / "textmate.js"
    grammar = EXTENSION / "syntaxes" / "csl.tmLanguage.json"
    done = subprocess.run(
        ["node", str(script), str(NODE), str(grammar)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def at(lines, starts, offset):
    """The innermost scope at an offset of the text."""
    line = next(n for n in range(len(starts) - 1, -1, -1) if starts[n] <= offset)
    column = offset - starts[line]
    return next(scope for a, b, scope in lines[line] if a <= column < b)


@engine
def test_every_token_of_every_program():
    """The lexer's tokens and the grammar's scopes agree, in all files there are, in comments too."""
    paths = [
        p for folder in (ROOT / "programs", ROOT / "stdlib", *map(Path, SUITES)) for p in sorted(folder.rglob("*.csl"))
    ]
    texts = [p.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n") for p in paths]
    words = set(tables().words)
    count = 0
    wrong = []
    for path, text, lines in zip(paths, texts, scopes_of(texts), strict=True):
        starts = [0]
        for line in text.split("\n")[:-1]:
            starts.append(starts[-1] + len(line) + 1)
        tokens, _ = tokenize(SourceFile(str(path), text))
        before = None
        for kind, word, start, _ in tokens:
            if kind == END:
                break
            # of fields after a dot nothing is wanted but that they are no keywords
            wanted = WANTED.get(kind)
            if kind == "IDENT" and before in ("FN", "TASK"):
                wanted = "entity.name.function"
            elif kind != "IDENT" and word in words:
                wanted = WORD
            elif kind == "IDENT" and text[start - 1] == ".":
                wanted = "variable.other.member"
            before = kind
            if wanted is None:
                continue
            count += 1
            found = at(lines, starts, start)
            if not re.match(wanted, found):
                wrong.append((f"{path}:{text.count(chr(10), 0, start) + 1}", kind, word, found))
        for m in re.finditer(r"^\s*//[^\n]*", text, re.M):
            if not at(lines, starts, m.end() - 1).startswith("comment"):
                wrong.append((str(path), "comment", m[0].strip(), ""))
    assert wrong[:10] == [] and count > 5000


@engine
@pytest.mark.parametrize(
    "text, word, scope",
    [
        ('const a = "x // y";', "y", "string.quoted.double.csl"),
        ("var b: [4]f32; // fn main", "main", "comment.line.double-slash.csl"),
        ("fn main() void {}", "main", "entity.name.function.csl"),
        ("task got(x: f32) void {}", "got", "entity.name.function.csl"),
        ("param width: u16 = 4;", "width", "variable.other.declaration.csl"),
        ("const c = .{ .color = link, .const = 1 };", "const =", "variable.other.member.csl"),
        ("x = 'a';", "a'", "string.quoted.single.csl"),
        ('x = "a\\nb";', "\\n", "constant.character.escape.csl"),
        ("@fmacs(a, b, c);", "@fmacs", "support.function.builtin.csl"),
        ("x = 1.5e-3;", "1.5e-3", "constant.numeric.float.csl"),
    ],
)
def test_scopes(text, word, scope):
    (lines,) = scopes_of([text])
    assert at(lines, [0], text.index(word)) == scope


@pytest.mark.skipif(
    not (NODE / "@vscode" / "vsce").is_dir() or shutil.which("npm") is None,
    reason="MESHLANG_NODE_MODULES names no folder with @vscode/vsce",
)
def test_the_extension_is_packed(tmp_path):
    """The public tool packs it, and all that it names is in the package."""
    folder = tmp_path / "vscode"
    shutil.copytree(EXTENSION, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    tool = NODE / "@vscode" / "vsce" / "vsce"
    done = subprocess.run(
        ["node", str(tool), "package", "--allow-missing-repository", "--skip-license", "-o", str(tmp_path / "x.vsix")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = set(zipfile.ZipFile(tmp_path / "x.vsix").namelist())
    package = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    wanted = [package["main"], *(e["path"] for k in ("grammars", "snippets") for e in package["contributes"][k])]
    wanted += [e["configuration"] for e in package["contributes"]["languages"]]
    assert {f"extension/{w.removeprefix('./')}" for w in wanted} <= names
    assert any(n.startswith("extension/node_modules/vscode-languageclient/") for n in names)
