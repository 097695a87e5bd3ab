"""How large a machine a fleet needs: a formula, its constants, and where they were measured."""
