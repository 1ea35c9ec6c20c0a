"""Other agents as clients, by the Agent2Agent protocol: a run is a task, a session is a context."""
