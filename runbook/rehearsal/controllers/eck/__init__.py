"""Elastic Cloud on Kubernetes: Elasticsearch and Kibana, as far as their pods go."""

from __future__ import annotations

from runbook.rehearsal.controllers.eck.operator import Elasticsearches, Kibanas

__all__ = ["Elasticsearches", "Kibanas"]
