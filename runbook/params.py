"""The parameters: one flat schema, read from YAML files, the command line and notebook cells.

YAML is read with the scalars of YAML 1.2: only ``true`` and ``false`` are booleans, numbers are
plain decimals, and everything else is text (``on``, ``no``, ``22:22``, ``0777``, ``2026-01-01``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from runbook import notebooks, releases
from runbook.bench_params import BenchParams
from runbook.errors import ParameterError
from runbook.fields import Duration, Label, LineName, Subdomain, Text, field, seconds
from runbook.mesh_params import MeshParams
from runbook.viz_params import VizParams
from runbook.yaml12 import Origin, YamlError, parse_mapping

__all__ = ["NOTEBOOKS", "Given", "Params", "json_schema", "load", "merge_values", "seconds"]

NOTEBOOKS: dict[str, tuple[str, ...]] = {
    notebook.name: notebook.parameters for notebook in notebooks.NOTEBOOKS
}
"""The parameters each notebook declares in its ``parameters`` cell."""


class _InstallParams(BaseModel):
    """Which cluster, and what is installed on it."""

    cluster: Text = field(
        "rehearsal",
        "Cluster to work on: 'rehearsal', or the name of a kubeconfig context. "
        "The current context is never used. 'in-cluster' uses the service account of the pod this "
        "runs in.",
        min_length=1,
    )
    kubeconfig: Text = field("", "Path of the kubeconfig; empty means $KUBECONFIG, ~/.kube/config")
    cluster_uid: Text = field(
        "",
        "UID of the namespace kube-system of that cluster. When given, any other cluster is "
        "refused before anything else is read.",
        pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$",
    )
    mode: Literal["plan", "apply", "verify"] = field(
        "apply", "plan shows what would change, apply changes it, verify only reads"
    )
    line: LineName = field(releases.DEFAULT, "Release line of Linkerd")
    timeout: int = field(
        600, "Longest wait for something to become ready", unit="seconds", ge=1, le=7200
    )

    linkerd_namespace: Label = field("linkerd", "Namespace of the control plane")
    trust_domain: Subdomain = field(
        "cluster.local", "Trust domain of the mesh: the last part of every workload identity"
    )

    cert_manager_namespace: Label = field(
        "cert-manager",
        "Namespace of cert-manager, which is also where a ClusterIssuer reads its CA Secret",
    )
    cluster_issuer: Subdomain = field("ca-issuer", "ClusterIssuer that signs the identity issuer")
    create_ca: bool = field(False, "Create the root CA and the ClusterIssuer in notebook 10")
    ca_secret: Subdomain = field("root-secret", "Secret (and Certificate) of the root CA")
    ca_common_name: Text = field(
        "picluster-ca", "Common name of the root CA", min_length=1, max_length=64
    )
    ca_duration: Duration = field("87600h", "How long the root CA is valid", unit="duration")

    issuer_duration: Duration = field(
        "48h", "How long an identity issuer certificate is valid", unit="duration"
    )
    issuer_renew_before: Duration = field(
        "25h", "How long before its end cert-manager renews it", unit="duration"
    )

    chart_source: Text = field(
        "",
        "Where the charts are: empty (the line's repository), the address of a Helm repository, "
        "oci://..., or a local directory",
    )
    chart_version: Text = field(
        "",
        "Version of the control-plane chart (and of linkerd-crds where they share one); empty "
        "means the line's",
        pattern=r"^(\d+(\.\d+){1,2}([-+][0-9A-Za-z.+-]+)?)?$",
    )
    helm: Literal["sdk", "cli"] = field(
        "sdk", "Helm as a library (sdk), or the program on the PATH (cli)"
    )
    install_gateway_api: bool = field(
        False, "Let linkerd-crds install its own copy of the Gateway API CRDs"
    )
    values: dict[str, Any] = field(
        {},
        "Extra Helm values of the control plane; its texts may be references: env:NAME, "
        "file:PATH, secret:NAMESPACE/NAME/KEY",
    )

    @model_validator(mode="after")
    def _durations_fit(self) -> _InstallParams:
        """Apply cert-manager's limits: an hour at least, renewed five minutes before the end."""
        issuer, renew = seconds(self.issuer_duration), seconds(self.issuer_renew_before)
        if issuer < 3600:
            raise ValueError("issuer_duration must be 1h or more: cert-manager's minimum")
        if not 300 <= renew < issuer:
            raise ValueError(
                "issuer_renew_before must be between 5m and issuer_duration "
                f"({self.issuer_duration}), else cert-manager refuses the Certificate"
            )
        if seconds(self.ca_duration) <= issuer:
            raise ValueError("ca_duration must be longer than issuer_duration")
        return self


class Params(BenchParams, MeshParams, VizParams, _InstallParams):
    """Every parameter of the runbook, with its default."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Params:
        """Validate parameters.

        Args:
            given: Parameters by name, from :func:`load` or from a notebook's cells.

        Raises:
            ParameterError: One of them is unknown, of the wrong type or out of range; the
                message names it, where it came from and what to write instead.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            origins = given.origins if isinstance(given, Given) else {}
            raise _refusal(error.errors(include_url=False), origins) from None


class Given(dict[str, Any]):
    """Parameters as given, each with where it came from."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[str, Origin] = {}

    def put(self, name: str, value: Any, origin: Origin) -> None:
        """Set a parameter; two mappings (Helm values) are merged key by key."""
        self.update(merge_values(self, {name: value}))
        self.origins[name] = origin


def load(paths: Iterable[str | Path] = (), overrides: Mapping[str, Any] | None = None) -> Given:
    """Read parameter files in order, then the overrides; later ones win.

    Args:
        paths: YAML files, each a mapping of parameters.
        overrides: Parameters by name. Text from the command line is read by the type the
            schema gives the parameter, so ``chart_version=1.30`` stays text.

    Raises:
        ParameterError: A file cannot be read or is not such a mapping.
    """
    given = Given()
    for path in paths:
        for name, (value, origin) in _read(Path(path)).items():
            given.put(name, value, origin)
    for name, value in (overrides or {}).items():
        origin = Origin("the command line", value if isinstance(value, str) else "")
        given.put(name, _typed(name, value), origin)
    return given


def json_schema() -> dict[str, Any]:
    """Give the JSON schema of a parameter file."""
    schema = Params.model_json_schema()
    schema["title"] = "Parameters of linkerd-runbook"
    schema["properties"]["line"]["enum"] = [line.name for line in releases.LINES]
    return schema


def _read(path: Path) -> dict[str, tuple[Any, Origin]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(
            f"cannot read the parameter file {path}",
            why=error.strerror or str(error),
            fix="give the path of an existing file, such as params/rehearsal.yaml",
        ) from None
    except UnicodeDecodeError as error:
        raise ParameterError(f"{path} is not UTF-8 text", why=str(error)) from None
    try:
        return parse_mapping(text, str(path))
    except YamlError as error:
        raise ParameterError(
            f"{error.place}: {error}", fix="a parameter file is a mapping: one 'name: value' a line"
        ) from None


def merge_values(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings as Helm merges values files: keys of the later one win."""
    merged = dict(before)
    for key, value in after.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = merge_values(old, value)
        else:
            merged[key] = value
    return merged


def _typed(name: str, value: Any) -> Any:
    """Read text from the command line by the parameter's type; the rest is left to validation."""
    field = Params.model_fields.get(name)
    if field is None or not isinstance(value, str):
        return value
    if field.annotation is int and re.fullmatch(r"-?\d+", value):
        return int(value)
    if field.annotation is bool and value in ("true", "false"):
        return value == "true"
    if field.annotation == dict[str, Any]:
        try:
            return {key: item for key, (item, _) in parse_mapping(value, f"-p {name}").items()}
        except YamlError as error:
            raise ParameterError(f"{error.place}: {error}", fix="write {key: value}") from None
    return value


def _refusal(problems: list[ErrorDetails], origins: Mapping[str, Origin]) -> ParameterError:
    """Word what pydantic found wrong, one problem or several."""
    worded = [_worded(problem, origins) for problem in problems]
    if len(worded) == 1:
        what, why, fix = worded[0]
        return ParameterError(what, why=why, fix=fix, see="runbook params schema")
    lines = [f"\n  - {what}" + (f": {fix}" if fix else "") for what, _, fix in worded]
    return ParameterError(
        f"{len(worded)} parameters are wrong:{''.join(lines)}", see="runbook params schema"
    )


def _worded(problem: ErrorDetails, origins: Mapping[str, Origin]) -> tuple[str, str, str]:
    name = str(problem["loc"][0]) if problem["loc"] else ""
    origin = origins.get(name, Origin())
    at = f"{origin.place}: " if origin.place else ""
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Params.model_fields, n=1)
        fix = f"did you mean {near[0]}?" if near else "'runbook show' lists the parameters"
        return f"{at}there is no parameter {name!r}", "", fix
    message = _message(problem)
    if not name:
        return f"{at}{message}", "", ""
    why, fix = _quoting(name, problem["input"], origin) or ("", _example(name, problem))
    given = problem["input"]
    # What was meant as a Helm value may be a password by itself.
    helm_values = name in ("values", "viz_values")
    shown = "a text" if helm_values and isinstance(given, str) else _shown(given)
    return f"{at}{name} {message}, but it is {shown}", why, fix


def _message(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    worded: dict[str, Callable[[], str]] = {
        "value_error": lambda: str(context.get("error", "")),
        "string_type": lambda: "must be text",
        "int_type": lambda: "must be a whole number",
        "bool_type": lambda: "must be true or false",
        "dict_type": lambda: "must be a mapping",
        "literal_error": lambda: f"must be {context.get('expected')}",
        "greater_than_equal": lambda: f"must be {context.get('ge')} or more",
        "less_than_equal": lambda: f"must be {context.get('le')} or less",
        "string_too_short": lambda: "must not be empty",
        "string_too_long": lambda: f"must have at most {context.get('max_length')} characters",
        "string_pattern_mismatch": lambda: "does not have the form it must have",
    }
    return worded.get(problem["type"], lambda: problem["msg"])()


def _quoting(name: str, value: Any, origin: Origin) -> tuple[str, str] | None:
    """Say how to quote a number, boolean or nothing that was meant as text."""
    field = Params.model_fields[name]
    meant_text = field.annotation is str
    if not meant_text or isinstance(value, str | list | dict):
        return None
    raw = origin.raw or str(value)
    if value is None:
        return "nothing after the colon is null, not empty text", f'write {name}: ""'
    if isinstance(value, bool):
        return f"{raw} without quotes is a boolean", f'write {name}: "{raw}"'
    lost = f", so the text {raw} is lost" if raw != str(value) else ""
    return f"{raw} without quotes is the number {value}{lost}", f'write {name}: "{raw}"'


def _example(name: str, problem: ErrorDetails) -> str:
    default = Params.model_fields[name].default
    if problem["type"] == "string_pattern_mismatch":
        examples = {
            "chart_version": '"2026.6.3" or "1.16.11"',
            "cluster_uid": "the output of: kubectl get namespace kube-system "
            "-o jsonpath={.metadata.uid}",
        }
        return f"write {examples[name]}"
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']+)'", str(problem.get("ctx", {}).get("expected")))
        near = difflib.get_close_matches(str(problem["input"]), choices, n=1)
        return f"did you mean {near[0]}?" if near else ""
    if isinstance(default, bool):
        return f"write {name}: {'true' if default else 'false'}"
    return f"write {name}: {default}" if isinstance(default, int) else ""


def _shown(value: Any) -> str:
    """Show a value by its kind and a short form; mappings may hold secrets, so never in full."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty (null)"
    kind = {bool: "the boolean", int: "the number", float: "the number"}.get(type(value), "")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{kind} {text}" if kind else repr(text[:60])
