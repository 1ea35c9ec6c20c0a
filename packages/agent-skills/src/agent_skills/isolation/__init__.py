"""How far a skill is kept from the rest: one isolation level a file."""
