"""The JSON shapes that people and programs see."""
