"""Readers of ELF files, which MeshLang does not write."""

from meshlang.host.sdk.unsupported import not_yet

HELP = "variables after a run: debug_util(name).get_symbol(x, y, symbol, dtype); bytes used: meshlang report"


def ELFMemory(*args, **kwargs):
    raise not_yet("ELFMemory: a compiled folder has no ELF files", HELP)


def ELFLoader(*args, **kwargs):
    raise not_yet("ELFLoader: a compiled folder has no ELF files", HELP)
