"""What a run costs: estimated before, billed after."""
