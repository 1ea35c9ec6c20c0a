"""The API below `/v1` that OpenAI's clients speak. Translates; what runs and what is kept belongs to others.

The agent is a model of the name `agent`: its skills run here, in a run of its own. Every other name asks a model directly.
"""
