"""What benchmarks/quality.py is made of: tasks -> compute (units, cached) -> evaluate -> report."""
