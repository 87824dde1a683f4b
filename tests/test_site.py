"""The documentation site builds without a warning, and has what it should."""

import importlib.util
import re
from pathlib import Path

import pytest

for package in ("mkdocs", "material", "mkdocstrings", "mkdocstrings_handlers", "nbclient", "ipykernel"):
    pytest.importorskip(package)

SCRIPT = Path(__file__).resolve().parents[1] / ".ci" / "docs_site.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if not SCRIPT.is_file():
        pytest.skip("the repository's .ci is not here")
    spec = importlib.util.spec_from_file_location("docs_site", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("site")
    module.build(folder)  # strict: a link that leads nowhere ends it
    return lambda name: (folder / name).read_text(encoding="utf-8")


def test_generated_pages(site):
    from meshlang.cli import COMMANDS
    from meshlang.diag import catalog

    commands = site("commands.html")
    assert all(f"meshlang {name}" in commands for name in COMMANDS)
    index = site("errors/index.html")
    assert all(f'href="{code}.html"' in index for code in catalog.titles())
    assert "Two wavelets at once" in site("errors/MS0814.html") and "../stencil.html" in site("errors/MS0814.html")
    assert len(re.findall(r"<svg role=.img", site("gallery.html"))) == 3 * 4  # a rectangle and three maps each


def test_api_reference(site):
    page = site("api.html")
    for name in ("meshlang.host.api.compile", "meshlang.host.api.FabricHandle.launch", "meshlang.inspect.api.report"):
        assert f'id="{name}"' in page
    assert "work" in page and "Copy array" in page


def test_the_notebook_executed(site):
    page = site("notebook.html")
    assert page.count("<svg") >= 4 and "events of layout.csl" in page and 'href="notebook.html"' in site("host.html")


def test_pages_of_docs(site):
    assert "halo exchange" in site("stencil.html") and "MeshGEMV on an 8 x 8 mesh" in site("index.html")
