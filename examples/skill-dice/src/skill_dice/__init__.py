"""Dice for agents."""
