"""What a run leaves at its destination: tables, files, the lock, the records of runs."""
