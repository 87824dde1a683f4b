"""The one walk over the syntax tree, in files of one kind of syntax each (`analyzer.py` puts them together)."""
