"""The vendor-compatible face: the classes behind the `cerebras...` modules.

`site/` holds the modules themselves; meshlang/host/script.py and `meshlang sdk` put it on sys.path for one process.
"""
