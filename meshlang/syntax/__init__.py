"""Text to syntax tree. The tree is in `ast`, spans in `source`, the way in is `parser`."""
