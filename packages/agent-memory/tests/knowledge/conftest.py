"""Shared by the tests of knowledge bases: the maker of hostile files."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hostile():
    spec = importlib.util.spec_from_file_location(
        "hostile_files", Path(__file__).with_name("hostile_files.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
