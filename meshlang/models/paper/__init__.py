"""WaferLLM's tables and figures (OSDI 2025), run or derived here and shown beside the published values."""
