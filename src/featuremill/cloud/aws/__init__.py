"""Calls to AWS: the connection, the one of a dry run, remedies, and facts about regions."""
