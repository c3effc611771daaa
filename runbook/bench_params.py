"""The parameters of the benchmark, part of the one flat schema in :mod:`runbook.params`."""

from __future__ import annotations

from pydantic import BaseModel, model_validator

from runbook.fields import Duration, Label, Names, Numbers, OptionalDuration, Text, field, seconds

__all__ = ["BenchParams"]


class BenchParams(BaseModel):
    """What is measured, for how long and how precisely."""

    bench_namespace: Label = field("linkerd-bench", "Namespace of the benchmark's pods and results")
    bench_nodes: Names = field(
        "", "Nodes to measure, with commas between them; empty means every ready worker"
    )
    bench_rps: Numbers = field(
        "20,200", "Requests a second to measure at, with commas between them", unit="requests/s"
    )
    bench_protocols: Text = field(
        "http1", "Protocols to measure: http1, http2, grpc, with commas between them"
    )
    bench_payloads: Numbers = field(
        "1024", "Sizes of an answer to measure with, with commas between them", unit="bytes"
    )
    bench_seconds: Duration = field("15s", "Measured time of one run", unit="duration")
    bench_warmup: Duration = field(
        "3s", "Load before that in the same process, which is not counted", unit="duration"
    )
    bench_budget: Duration = field("2h", "Longest time for all runs", unit="duration")
    bench_percentile: int = field(
        99,
        "Percentile whose overhead is the main result, chosen before anything is measured",
        ge=50,
        le=99,
    )
    bench_half_width: Duration = field(
        "200us",
        "Precision to reach: half the width of the interval of the main result",
        unit="duration",
    )
    bench_equivalence: OptionalDuration = field(
        "", "Overhead below which meshed counts as equal; empty claims nothing", unit="duration"
    )
    bench_generators: int = field(
        1, "Pods that share the load of a run, when one generator is not enough", ge=1, le=16
    )
    bench_skipped: bool = field(
        False, "Measure a third arm: the proxy is there, but the ports skip it"
    )
    bench_image: Text = field(
        "fortio/fortio:1.75.2", "Image of servers and load generators", min_length=1
    )
    bench_probe_image: Text = field(
        "busybox:1.37", "Image of the probe of a node's temperature and clock", min_length=1
    )
    bench_data: Text = field(
        "", "Campaign to read: data/63-campaign.json.gz of a record; empty: the cluster's"
    )

    @model_validator(mode="after")
    def _protocols_are_known(self) -> BenchParams:
        """Protocols are a list of known names, each once."""
        wanted = [part.strip() for part in self.bench_protocols.split(",")]
        known = {"http1", "http2", "grpc"}
        if not set(wanted) <= known or len(set(wanted)) < len(wanted):
            raise ValueError("bench_protocols must be some of http1, http2, grpc, each once")
        if seconds(self.bench_budget) < 60:
            raise ValueError("bench_budget must be 1m or more")
        return self
