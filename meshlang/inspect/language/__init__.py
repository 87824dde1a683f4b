"""What an editor asks of CSL sources: `index` (the names of one file), `workspace` (files, imports, compilations),
`answers` (hover, completion, rename, ...) and `server`, which speaks the Language Server Protocol."""
