"""Calls to AWS: plans as data, what runs and prints them, remedies, and facts about regions."""
