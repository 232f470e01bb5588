"""What the budgets of tagmesh are measured with: ``python -m benchmarks --help``."""
