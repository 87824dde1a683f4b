from __future__ import annotations
class Recovery:
    def __init__(self, file, tokens, errors):
        self.file, self.tokens, self.errors = file, tokens, []
        self.position = 0
        self.token = tokens[0]
    def handle(self, states, values, position):
        from ..diag import Diagnostic
        from .source import Span
        t = self.tokens[position]
        self.errors.append(Diagnostic("MS0102", "unexpected " + t[0], Span(self.file, t[2], t[3])))
        return False
