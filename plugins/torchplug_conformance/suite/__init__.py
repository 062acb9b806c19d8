"""The tests pytest collects: one module per part, one test per case."""
