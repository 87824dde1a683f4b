"""One module per subcommand of `meshlang`; see meshlang/cli.py for what a module must hold."""
