"""What analysis and builtins are written in: types, values and their arithmetic, modules, the unit that is compiled and
the builder of its code, what a layout says."""
