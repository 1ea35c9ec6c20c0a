"""The program of a worker process: `python -I -S -B worker.py DESCRIPTOR`. As short as can be: it is never cached."""

import sys

sys.path.insert(0, __file__.rpartition("/")[0])

__import__("serving").serve(int(sys.argv[1]))
