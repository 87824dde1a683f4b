"""cerebras.sdk: see meshlang/host/sdk."""
