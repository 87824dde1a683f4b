"""Stand-ins for the vendor's host modules, on MeshLang's machine. Importable below `meshlang cs_python` and `meshlang
sdk` only."""

import sys as _sys


def _install_hook() -> None:
    """A MeshlangError that ends a script is shown as a diagnostic, without traceback."""
    previous = _sys.excepthook

    def hook(kind, value, trace):
        from meshlang.diag import MeshlangError

        if not isinstance(value, MeshlangError):
            previous(kind, value, trace)
            return
        from meshlang.diag.render import render_text

        _sys.stdout.flush()
        render_text(value.diagnostics)

    _sys.excepthook = hook


_install_hook()
