"""The exit codes of the command line. Imports nothing, so that `--help` is quick."""

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_FOUND = 3
EXIT_UNREACHABLE = 5
EXIT_WAITING = 6
EXIT_INTERRUPTED = 130
