"""LangChain's standard tests of a chat model, against a daemon: `pytest langchain_standard.py`; AGENTD_URL and AGENTD_KEY say which."""

import os

from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class Standard(ChatModelIntegrationTests):
    asked = ""

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "model": self.asked,
            "base_url": f"{os.environ['AGENTD_URL']}/v1",
            "api_key": os.environ["AGENTD_KEY"],
            "max_retries": 0,
            "stream_usage": True,
        }


class TestDirect(Standard):
    """The daemon's model, asked directly."""

    asked = "openai:willing"


class TestAgent(Standard):
    """The agent: a durable run, or its model where the client brings tools."""

    asked = "agent"
