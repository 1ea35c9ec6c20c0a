"""The command line, killed at one of its journal's boundaries: `killed_agent.py before|after N agent-arguments...`.

The signal is SIGKILL to itself, before the N-th append is given to the journal or after it is durable.
"""

import itertools
import os
import signal
import sys

from agent_api.cli import main
from agent_memory import SqliteJournal

when, at = sys.argv[1], int(sys.argv[2])
append = SqliteJournal.append
counted = itertools.count(1)


async def killed(self, *arguments, **options):
    count = next(counted)
    if (when, count) == ("before", at):
        os.kill(os.getpid(), signal.SIGKILL)
    seq = await append(self, *arguments, **options)
    if (when, count) == ("after", at):
        os.kill(os.getpid(), signal.SIGKILL)
    return seq


SqliteJournal.append = killed
sys.argv[1:] = sys.argv[3:]
main()
