"""Models on a mesh: configurations, where weights and caches lie, and references to compare with."""
