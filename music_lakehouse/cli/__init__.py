"""The `music-lakehouse` command: one module a command, what is heavy imported where it is used."""
