"""What featuremill is measured against: small complete programs, most for other environments."""
