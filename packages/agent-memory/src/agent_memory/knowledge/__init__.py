"""Knowledge bases: documents read, cut, indexed and found again with their source. `LanceKnowledgeBase` is the way in."""
