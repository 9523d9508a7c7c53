"""Hours of runs, kills and faults, against a model of what the tables must hold."""
