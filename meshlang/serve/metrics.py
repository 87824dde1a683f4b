"""What the server counts, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .extras import needs

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


class Metrics:
    """MS1600 without prometheus_client."""

    def __init__(self, models: Sequence[str]):
        p = needs("prometheus_client", "serve", "meshlang serve")
        self.registry: Any = p.CollectorRegistry()

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"meshlang_{name}", text, labels, registry=self.registry, **more)

        self.requests = make(p.Counter, "requests", "Requests that were accepted or refused for want of room", "model")
        self.tokens = make(p.Counter, "tokens", "Tokens that were generated", "model")
        for model in models:  # a series that is there from the start
            self.requests.labels(model)
            self.tokens.labels(model)
        self.outcomes = make(p.Counter, "outcomes", "Requests by how they ended: done, failed, cancelled", "outcome")
        self.refused = make(p.Counter, "refused", "Requests refused with 429: the queue was full")
        self.retries = make(
            p.Counter, "retries", "Requests that had to find another instance, a worker being lost most often"
        )
        self.lost = make(p.Counter, "workers_lost", "Workers that died")
        self.moves = make(
            p.Counter, "moves", "Running requests that were moved, by tokens or by keys and values", "way"
        )
        self.moved_bytes = make(p.Counter, "moved_bytes", "Keys and values that were moved")
        self.loads = make(
            p.Counter, "loads", "Models that were loaded, by where the image was; folder: no image, placed anew", "tier"
        )
        self.load_seconds = make(p.Histogram, "load_seconds", "How long loads took", "tier", buckets=_SECONDS)
        self.load_predicted = make(
            p.Histogram,
            "load_predicted_seconds",
            "How long the same loads were expected to take",
            "tier",
            buckets=_SECONDS,
        )
        self.payload_seconds = make(
            p.Histogram, "payload_seconds", "How long images' payloads took to the fabric", "tier", buckets=_SECONDS
        )
        self.payload_predicted = make(
            p.Histogram, "payload_predicted_seconds", "How long the same payloads were expected to take", "tier",
            buckets=_SECONDS,
        )  # fmt: skip
        self.bandwidth = make(
            p.Gauge, "tier_bytes_per_second", "Bandwidths that workers have measured", "worker", "tier"
        )
        self.startup = make(p.Histogram, "startup_seconds", "From arrival until the model is there", buckets=_SECONDS)
        self.waiting = make(p.Gauge, "waiting", "Requests that wait")
        self.running = make(p.Gauge, "running", "Requests that have an instance")
        self.workers = make(p.Gauge, "workers", "Workers that are there")
        self._text = p.generate_latest

    def outcome(self, name: str) -> None:
        self.outcomes.labels(name).inc()

    def text(self) -> bytes:
        return bytes(self._text(self.registry))
