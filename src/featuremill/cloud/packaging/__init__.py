"""The archive of code and packages that a cluster unpacks."""
