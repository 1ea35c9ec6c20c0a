"""Skill memory: finding tools, what they served, how they did, what worked and what was learned. See `store`."""

from agent_memory.skill_memory.patterns import Pattern, Step
from agent_memory.skill_memory.records import LearnedLesson, Statistics
from agent_memory.skill_memory.store import SkillMemory
from agent_memory.skill_memory.tool_index import ToolHit

__all__ = ["LearnedLesson", "Pattern", "SkillMemory", "Statistics", "Step", "ToolHit"]
