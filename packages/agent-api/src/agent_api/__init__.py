"""agentd and agent: the daemon and the command line over the four agent libraries."""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """The version, looked up when it is asked for: importlib.metadata takes a third of `agent --help`."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415

        return version("agent-api")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
