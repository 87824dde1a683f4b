"""The engine room: what Numba compiles, and nothing else.

Plain Python over numpy arrays under Numba's rules; with `NUMBA_DISABLE_JIT=1` the same source runs uncompiled. What Python
sees of a loaded program (machine, loader, snapshots, recording, timing) stands beside this folder. `loop.py` is the entry.
"""
