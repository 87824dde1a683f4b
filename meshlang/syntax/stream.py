"""Several files in one text, each behind a line `// FILE: name`: as generators print programs, and as notebooks hold them."""

from __future__ import annotations

import os
import re

from ..diag import Diagnostic, MeshlangError
from .source import SourceFile, Span

_MARK = re.compile(r"^[ \t]*//[ \t]*FILE:[ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)
_CODE = re.compile(r"^[ \t]*(?!//)\S", re.MULTILINE)


def split(text: str, path: str) -> dict[str, str]:
    """The files of a stream by normalised path, in order; a text without marks is one file, called `path`.

    A name without an ending gets `.csl`. Names are relative to the folder of `path`. MS1503: a mark without a name, two
    files of one name, code in front of the first mark.
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        return {os.path.normpath(path): text}
    stream = SourceFile(path, text)
    early = _CODE.search(text, 0, marks[0].start())
    if early is not None:
        at = Span(stream, early.end() - 1, early.end())
        raise MeshlangError(
            Diagnostic(
                "MS1503",
                "code in front of the first `// FILE:` line belongs to no file",
                at,
                help="begin the text with `// FILE: name`",
            )
        )
    files: dict[str, str] = {}
    for mark, following in zip(marks, [*marks[1:], None]):
        name = mark[1]
        span = Span(stream, mark.start(), mark.end())
        if not name:
            raise MeshlangError(
                Diagnostic("MS1503", "`// FILE:` without a name", span, help="write `// FILE: layout.csl`, say")
            )
        if not os.path.splitext(name)[1]:
            name += ".csl"
        full = os.path.normpath(os.path.join(os.path.dirname(path), name))
        if full in files:
            raise MeshlangError(Diagnostic("MS1503", f"two files of this stream are called {name}", span))
        files[full] = text[mark.end() + 1 : len(text) if following is None else following.start()]
    return files
