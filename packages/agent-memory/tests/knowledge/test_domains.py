"""Domains are data."""

import pytest

from agent_core.errors import ConfigurationError
from agent_memory.knowledge.domains import BUILT_IN, Domain, Field, domains_from


def test_eight_are_there():
    assert list(BUILT_IN) == [
        "legal",
        "code",
        "medical",
        "finance",
        "science",
        "security",
        "operations",
        "general",
    ]
    assert all(one.description and one.fields for one in BUILT_IN.values())


def test_settings_add_and_replace():
    found = domains_from(
        [
            {"name": "recipes", "description": "Food.", "fields": [{"name": "minutes", "kind": "number"}]},
            {"name": "legal", "description": "Ours.", "chunking": {"strategy": "clauses", "words": 99}},
        ]
    )
    assert len(found) == 9
    assert found["recipes"].fields == (Field(name="minutes", kind="number"),)
    assert found["legal"].chunking.words == 99


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"name": "Recipes", "description": ""}, "cannot name a domain"),
        ({"name": "a/b", "description": ""}, "cannot name a domain"),
        ({"description": ""}, "without a name"),
        ({"name": "a", "description": "", "colour": "red"}, "colour"),
        ({"name": "a", "description": "", "chunking": {"strategy": "luck"}}, "luck"),
        ({"name": "a", "description": "", "fields": [{"name": "source"}]}, "is there already"),
        ({"name": "a", "description": "", "fields": [{"name": "x"}, {"name": "x"}]}, "is there already"),
    ],
)
def test_a_setting_that_is_no_domain_is_refused(setting, said):
    with pytest.raises(ConfigurationError, match=said):
        domains_from([setting])


def test_a_domain_can_be_made_in_code():
    assert Domain(name="mine", description="Mine.").chunking.strategy == "sections"
