"""The commands as they are installed. Imports nothing before it can say that it was interrupted."""

import sys

from agent_api.exit_codes import EXIT_INTERRUPTED


def agent() -> None:
    """The command `agent`."""
    try:
        from agent_api.cli import main  # noqa: PLC0415  # see above
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    main()


def agentd() -> None:
    """The command `agentd`."""
    try:
        from agent_api.cli import daemon  # noqa: PLC0415  # see above
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    daemon()
