"""Looking into a fabric: read-only queries on a stopped machine, the explanation of a hang, and the REPL on top of
them."""
