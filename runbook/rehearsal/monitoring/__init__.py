"""Stand-ins of the monitoring stack that run as processes.

Prometheus finds pods, relabels, scrapes and answers plain selectors; Grafana shows what its sidecar
brings.
"""
