"""The documentation as a site: `pip install '.[docs]' && python .ci/docs_site.py FOLDER`.

The pages are docs/*.md as they stand, README.md first. Written from the program itself: a page for each command from its
--help, one for each code of the catalogue, the API from docstrings, the notebook executed, a gallery of what programs and
runs look like. What is generated goes to a temporary folder; nothing is written twice.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / ".ci")]

SECTIONS = {
    "Learn": ["tutorial", "stencil", "editor", "ci"],
    "Language": ["language", "stdlib", "stdlib-comm", "stdlib-gemm", "stdlib-llm"],
    "Tools": ["host", "repl", "traces", "report", "sweep", "environment", "security"],
    "Models": ["llm", "smollm", "moe", "serving", "cap", "paper"],
    "Machine": ["timing", "isa", "optimiser", "state", "performance", "conformance"],
    "Project": ["architecture", "contributing", "changelog"],
}
API = ("compile", "load", "CompiledProgram", "FabricHandle", "params", "run_context", "RunContext", "largest_error")
RESULTS = ("report", "profile", "trace", "lint", "why", "explain")
GALLERY = ("hello", "meshgemv", "meshgemm")  # of programs/

CONFIG = """\
site_name: MeshLang
site_description: A CSL-compatible language and fabric interpreter for wafer-scale machines
docs_dir: pages
use_directory_urls: false
theme:
  name: material
  font: false
  features: [navigation.tabs, navigation.indexes, content.code.copy, search.suggest, toc.follow]
  palette:
    - {{ media: "(prefers-color-scheme: light)", scheme: default, toggle: {{ icon: material/weather-night, name: dark }} }}
    - {{ media: "(prefers-color-scheme: dark)", scheme: slate, toggle: {{ icon: material/weather-sunny, name: light }} }}
plugins:
  - search
  - mkdocstrings:
      handlers:
        python:
          paths: ["{root}"]
          options: {{ show_source: false, show_root_heading: true, show_root_full_path: false, heading_level: 3, members_order: source }}
markdown_extensions: [admonition, attr_list, md_in_html, tables, toc, pymdownx.superfences, pymdownx.highlight]
nav:
{nav}
"""


def titles(pages: Path) -> dict[str, str]:
    """The heading of each page."""
    return {p.stem: p.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").strip() for p in pages.glob("*.md")}


def copied(pages: Path) -> None:
    """docs/ and README.md, with links that hold on the site."""
    for path in (ROOT / "docs").iterdir():
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            text = re.sub(r"\[([^\]]*)\]\((editor/[^)]*)\)", r"\1", text)  # folders of sources have no page
            text = text.replace("(notebook.ipynb)", "(notebook.md)")
            (pages / path.name).write_text(text, encoding="utf-8")
        elif path.name == "pictures":
            shutil.copytree(path, pages / path.name)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (pages / "index.md").write_text(
        readme.replace("](docs/", "](").replace("(notebook.ipynb)", "(notebook.md)"), encoding="utf-8"
    )


def commands(pages: Path) -> None:
    """What each command prints for --help."""
    from meshlang.cli import COMMANDS, build_parser

    os.environ["COLUMNS"] = "86"  # of a page
    parser = build_parser()
    subparsers = next(a for a in parser._actions if getattr(a, "choices", None) and "run" in a.choices)
    parts = ["# Commands", "", "```text", parser.format_help().rstrip(), "```", ""]
    for name in COMMANDS:
        parts += [f"## meshlang {name}", "", "```text", subparsers.choices[name].format_help().rstrip(), "```", ""]
    (pages / "commands.md").write_text("\n".join(parts), encoding="utf-8")


def errors(pages: Path) -> None:
    """The catalogue: an index, and a page for each code."""
    from meshlang.diag import catalog

    folder = pages / "errors"
    folder.mkdir()
    found = catalog.titles()
    rows = [
        "# Diagnostics",
        "",
        f"{len(found)} codes; `meshlang explain CODE` prints a page.",
        "",
        "| code | |",
        "|---|---|",
    ]
    for code, title in found.items():
        text = re.sub(r"^## ", "# ", catalog.page(code) or "", count=1)
        text = re.sub(r"\]\((?:\.\./)*(?:docs/)?([\w-]+\.md)", r"](../\1", text)
        text = re.sub(r"(?<![/(\w])docs/([\w-]+)\.md", r"[\1.md](../\1.md)", text)
        (folder / f"{code}.md").write_text(text, encoding="utf-8")
        rows.append(f"| [{code}]({code}.md) | {title} |")
    (folder / "index.md").write_text("\n".join(rows) + "\n", encoding="utf-8")


def api(pages: Path) -> None:
    """The public API, from its docstrings."""
    import meshlang

    assert set(API) | set(RESULTS) <= set(meshlang.__all__)
    parts = ["# Python API", "", "What `import meshlang` offers; [host programs](host.md) says how it is used.", ""]
    for heading, names in (("Programs and fabrics", API), ("Results", RESULTS)):
        parts += [f"## {heading}", ""]
        for name in names:
            module = import_module(getattr(meshlang, name).__module__).__name__
            parts += [f"::: {module}.{name}", ""]
    (pages / "api.md").write_text("\n".join(parts), encoding="utf-8")


def notebook(pages: Path) -> None:
    """docs/notebook.ipynb, executed: cells and what they show."""
    import nbclient
    import nbformat

    book = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    os.environ |= {"PYTHONPATH": str(ROOT), "MESHLANG_QUIET": "1"}  # of the kernel
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": folder}}).execute()
    parts = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            parts += [cell.source, ""]
            continue
        language = "csl" if cell.source.startswith("%%csl") else "python"
        parts += [f"```{language}", cell.source, "```", ""]
        for output in cell.outputs:
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "text/html" in data:
                parts += [f"<div style='overflow-x:auto'>{data['text/html']}</div>", ""]
            else:
                parts += ["```text", data["text/plain"].rstrip(), "```", ""]
    (pages / "notebook.md").write_text("\n".join(parts), encoding="utf-8")


def gallery(pages: Path) -> None:
    """Pictures and pages of runs (pictures.py); programs and fabrics as notebooks show them."""
    import pictures

    from meshlang.host.context import RunContext, set_context
    from meshlang.host.script import run_script

    parts = [
        "# Gallery",
        "",
        "Runs as [`meshlang run`](traces.md) draws them, and programs as they show themselves in a notebook, compiled and run while this",
        "page was built. The commands are for a clone of the repository.",
        "",
    ]
    pictures.make(pages / "pictures", pictures.PAGES)
    for one in (*pictures.SHOWN, *pictures.PAGES):
        shown = (
            f"[The page of this run](pictures/{one.file})"
            if one in pictures.PAGES
            else f"![{one.title}](pictures/{one.file})"
        )
        parts += [f"## {one.title}", "", "```sh", one.line, "```", "", shown, ""]
    for name in GALLERY:
        context = set_context(RunContext(active=True, folder=ROOT / "programs" / name))
        with contextlib.redirect_stdout(io.StringIO()):
            code = run_script(ROOT / "programs" / name / "run.py")
        assert code == 0 and context.handles
        handle = context.handles[0]
        for shown in (handle.program, handle):
            html = shown._repr_html_().replace(str(ROOT) + "/", "")
            parts += [f"## {name}", ""] if shown is handle.program else [""]
            parts += [html, ""]
    set_context(RunContext())
    (pages / "gallery.md").write_text("\n".join(parts), encoding="utf-8")


def navigation(pages: Path) -> str:
    known = titles(pages)
    listed = {name for names in SECTIONS.values() for name in names}
    missing = set(known) - listed - {"index", "commands", "api", "notebook", "gallery"}
    if missing or listed - set(known):
        raise SystemExit(
            f"SECTIONS of {Path(__file__).name} and docs/ differ: {sorted(missing | (listed - set(known)))}"
        )
    lines = ["  - index.md"]
    for section, names in SECTIONS.items():
        lines.append(f"  - {section}:")
        more = {"Learn": ["notebook", "gallery"], "Tools": ["commands", "api"]}.get(section, [])
        lines += [f"      - {title(known[name])}: {name}.md" for name in [*names, *more]]
    return "\n".join([*lines, "  - Diagnostics: errors/index.md"])


def title(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def build(target: Path) -> None:
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config

    with tempfile.TemporaryDirectory(prefix="meshlang-site-") as name:
        folder = Path(name)
        pages = folder / "pages"
        pages.mkdir()
        copied(pages)
        for write in (commands, errors, api, notebook, gallery):
            write(pages)
        config = folder / "mkdocs.yml"
        config.write_text(CONFIG.format(root=ROOT, nav=navigation(pages)), encoding="utf-8")
        loaded = load_config(str(config), strict=True, site_dir=str(target.resolve()))
        loaded.plugins.on_startup(command="build", dirty=False)
        try:
            mkdocs_build(loaded)
        finally:
            loaded.plugins.on_shutdown()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("python .ci/docs_site.py FOLDER")
    build(Path(sys.argv[1]))
