"""Local engines: one a file, each a `ChatModel` in this process. Importing one here imports no engine's wheel."""
