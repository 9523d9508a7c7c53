"""How work is handed out to workers: Spark, its Java, and what fits the memory."""
