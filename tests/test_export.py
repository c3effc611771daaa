"""Manifests that run a batch in a cluster, taken by the rehearsal's API server and really run."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from kubernetes import client, config

from runbook.cli import _status
from runbook.cluster import Cluster, connect
from runbook.errors import ApiError, ParameterError, UsageError
from runbook.export import Manifest, Setup, argo, kubernetes_jobs, prepare, render
from runbook.export.work import Work
from runbook.fleet import Target
from runbook.params import Params, load
from runbook.rehearsal import Twin

Object = dict[str, Any]
Write = Callable[..., Path]
CLAIM = Setup("registry.local/runbook:1", claim="records", kubeconfig_secret="access")
COPY = Setup("i", copy_to="s3://bucket/r", cluster_role="installer", environment_secret="bucket")
HERE = Work("here", {"cluster": "in-cluster", "mode": "plan"})
NORTH = Work("north", {"cluster": "north", "kubeconfig": "/kubeconfig/config"})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Give a function that writes a parameter file and gives the target it is for."""

    def go(text: str, name: str = "a.yaml") -> Target:
        path = tmp_path / name
        path.write_text(text)
        return Target(path.stem, (path,))

    return go


def objects(manifests: list[Manifest]) -> list[Object]:
    """Give what a reader of the YAML gets."""
    return list(yaml.safe_load_all(render(manifests)))


def pod_of(manifests: list[Manifest], number: int = 0) -> Object:
    jobs = [obj for obj in objects(manifests) if obj["kind"] == "Job"]
    return jobs[number]["spec"]["template"]["spec"]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("values: {password: hunter22}", "values holds what looks like a secret"),
        ("values: {a: [{b: 'Bearer abcdefgh12345'}]}", "values holds what looks like a secret"),
        ("chart_source: https://me:hunter22@charts.local/", "chart_source holds what looks like"),
        ("chart_source: ./charts", "a directory of this machine"),
        ("chart_source: /srv/charts", "a directory of this machine"),
        ("values: {password: 'file:~/password'}", "file:~/password is a file of this machine"),
    ],
)
def test_no_secret_and_nothing_local_is_written(text: str, words: str, write: Write) -> None:
    with pytest.raises(ParameterError, match=words) as caught:
        prepare([write(f"{text}\n")], CLAIM)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "setup", "words"),
    [
        ("cluster: rehearsal", Setup("i"), "where are the records to be kept"),
        ("cluster: rehearsal", Setup("i", claim="c", copy_to="s3://b"), "where are the records"),
        ("cluster: rehearsal", Setup("i", copy_to="ssh://me:hunter22@host/"), "holds a password"),
        ("cluster: in-cluster", Setup("i", claim="c"), "what may a do in the cluster"),
        ("cluster: north", Setup("i", claim="c", cluster_role="r"), "--cluster-role has no use"),
        ("cluster: north", Setup("i", claim="c"), "how are north reached"),
        ("cluster: in-cluster\nkubeconfig: k", Setup("i", claim="c"), "how are in-cluster reached"),
        ("values: {a: 'env:NAME'}", Setup("i", claim="c"), "env:NAME needs a variable in the pod"),
    ],
)
def test_a_setup_that_cannot_work_is_refused(
    text: str, setup: Setup, words: str, write: Write
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        prepare([write(f"{text}\n")], setup)
    assert "hunter22" not in str(caught.value)


def test_contexts_of_one_name_are_refused(write: Write) -> None:
    one = write("cluster: default\nkubeconfig: a\n")
    two = write("cluster: default\nkubeconfig: b\n", "b.yaml")
    with pytest.raises(UsageError, match="same context"):
        prepare([one, two], CLAIM)


# --- what is written ----------------------------------------------------------------------------


def test_parameters_are_merged_validated_and_of_the_pod(write: Write, tmp_path: Path) -> None:
    text = f"cluster: north\nkubeconfig: {tmp_path}/k\nvalues: {{a: 'secret:x/y/z', b: on}}\n"
    (work,) = prepare([write(text)], CLAIM, {"mode": "plan"})
    configmap = next(o for o in objects(kubernetes_jobs([work], CLAIM)) if o["kind"] == "ConfigMap")
    (tmp_path / "written.yaml").write_text(configmap["data"]["a.yaml"])
    assert load([tmp_path / "written.yaml"]) == {
        "cluster": "north",
        "kubeconfig": "/kubeconfig/config",
        "values": {"a": "secret:x/y/z", "b": "on"},
        "mode": "plan",
    }
    assert str(tmp_path) not in json.dumps(configmap)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(values=st.dictionaries(st.text(min_size=1), VALUES, max_size=4))
@example(values={"0E0": "1e3", "a": ["0777", "1.30", "0x1F", "on", "~", "null", "-1", ".5", "+1"]})
def test_values_survive_the_writing(
    values: Object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    work = Work("a", {"values": values})
    configmap = objects(kubernetes_jobs([work], CLAIM))[1]
    file = tmp_path_factory.mktemp("values") / "a.yaml"
    file.write_text(configmap["data"]["a.yaml"], encoding="utf-8")
    assert load([file]) == {"values": values}


def test_names_are_fit_and_differ(write: Write) -> None:
    names = ["pi", "arn:aws:Eks/PI", "PI", "pi!", "..", "x" * 80, "x" * 90]
    found = prepare([Target(name, ()) for name in names], Setup("i", claim="c"))
    slugs = [work.name for work in found]
    assert len(set(slugs)) == len(names)
    assert slugs[:2] == ["pi", "arn-aws-eks-pi"]
    jobs = [f"linkerd-runbook-{slug}" for slug in slugs]
    assert all(len(job) <= 63 and job.strip("-.") == job for job in jobs)


def test_a_pod_has_no_more_than_it_needs() -> None:
    here, north = (pod_of(kubernetes_jobs([HERE, NORTH], COPY), number) for number in (0, 1))
    assert here["automountServiceAccountToken"] is True
    assert north["automountServiceAccountToken"] is False
    assert "kubeconfig" in [volume["name"] for volume in north["volumes"]]
    assert "kubeconfig" not in [volume["name"] for volume in here["volumes"]]
    for pod in (here, north):
        assert (pod["restartPolicy"], pod["securityContext"]["runAsNonRoot"]) == ("Never", True)
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {v["name"] for v in pod["volumes"] if "emptyDir" in v}
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        assert {mounts[name] for name in writable} == {"/home/runbook", "/tmp", "/records"}
    job = next(o for o in objects(kubernetes_jobs([HERE], COPY)) if o["kind"] == "Job")
    assert job["spec"]["backoffLimit"] == 0
    assert "ttlSecondsAfterFinished" not in job["spec"], "the record of a failure stays"
    annotations = job["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"linkerd.io/inject": "disabled"}, "a proxy would not let it end"


def test_only_what_runs_inside_gets_rights() -> None:
    with_role = objects(kubernetes_jobs([HERE], COPY))
    binding = next(obj for obj in with_role if obj["kind"] == "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "installer"
    assert "cluster-admin" not in render(kubernetes_jobs([HERE], COPY))
    assert "ClusterRole" not in render(kubernetes_jobs([NORTH], CLAIM))


def test_argo_runs_the_same_pods() -> None:
    setup = Setup("i", claim="records", kubeconfig_secret="s", cluster_role="r", parallel=3)
    template = objects(argo([HERE, NORTH], setup))[-1]["spec"]
    tasks = next(t for t in template["templates"] if t["name"] == template["entrypoint"])
    assert template["parallelism"] == 3
    assert tasks["dag"]["failFast"] is False, "one that fails does not stop the others"
    for number, task in enumerate(tasks["dag"]["tasks"]):
        made = next(t for t in template["templates"] if t["name"] == task["template"])
        pod = pod_of(kubernetes_jobs([HERE, NORTH], setup), number)
        assert {"name": "runbook", **made["container"]} == pod["containers"][0]
        assert made["volumes"] == pod["volumes"]
        assert made["securityContext"] == pod["securityContext"]
        patch = json.loads(made["podSpecPatch"])
        assert patch == {"terminationGracePeriodSeconds": pod["terminationGracePeriodSeconds"]}


# --- what an API server says to it --------------------------------------------------------------


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    with Twin(content=False, controllers=False, kubelet=False) as running:
        yield running


@pytest.fixture
def cluster(twin: Twin) -> Iterator[Cluster]:
    """Connect, with Argo's definition in place and a namespace that is new each time."""
    connected = connect(Params(kubeconfig=str(twin.kubeconfig)))
    definition = Path(__file__).parent / "argo_definition.yaml"
    connected.apply(yaml.safe_load(definition.read_text()))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "linkerd-runbook"}}
    connected.apply(namespace)
    yield connected
    connected.close()


@pytest.fixture
def create(twin: Twin, cluster: Cluster) -> Iterator[Callable[..., Any]]:
    """Give a function that creates an object with the Python client, strictly validated."""
    with config.new_client_from_config(str(twin.kubeconfig), "rehearsal") as api:
        core, batch = client.CoreV1Api(api), client.BatchV1Api(api)
        rbac, custom = client.RbacAuthorizationV1Api(api), client.CustomObjectsApi(api)
        makers = {
            "ServiceAccount": core.create_namespaced_service_account,
            "ConfigMap": core.create_namespaced_config_map,
            "Job": batch.create_namespaced_job,
            "Role": rbac.create_namespaced_role,
            "RoleBinding": rbac.create_namespaced_role_binding,
        }

        def go(obj: Object, **options: str) -> Any:
            options = {"field_validation": "Strict", **options}
            if obj["kind"] == "ClusterRoleBinding":
                return rbac.create_cluster_role_binding(obj, **options)
            namespace = obj["metadata"]["namespace"]
            if obj["kind"] in makers:
                return makers[obj["kind"]](namespace, obj, **options)
            group, version = obj["apiVersion"].split("/")
            plural = f"{obj['kind'].lower()}s"
            return custom.create_namespaced_custom_object(
                group, version, namespace, plural, obj, **options
            )

        yield go


ALL = [
    pytest.param(kubernetes_jobs, CLAIM, [NORTH], id="jobs-claim"),
    pytest.param(kubernetes_jobs, COPY, [HERE], id="jobs-copy"),
    pytest.param(argo, CLAIM, [NORTH], id="argo-claim"),
    pytest.param(argo, COPY, [HERE], id="argo-copy"),
]


@pytest.mark.parametrize(("make", "setup", "works"), ALL)
def test_the_api_server_takes_it(
    make: Callable[..., list[Manifest]],
    setup: Setup,
    works: list[Work],
    create: Callable[..., Any],
    cluster: Cluster,
) -> None:
    found = objects(make(works, setup))
    for obj in found:
        create(obj, dry_run="All")
        assert there(cluster, obj) is None, "a dry run stores nothing"
    for obj in found:
        create(obj)
        assert there(cluster, obj)
    for obj in found:
        assert cluster.apply(obj, force=True)["metadata"]["name"], "and `kubectl apply` after it"
    for obj in reversed(found):
        meta = obj["metadata"]
        cluster.delete(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace", ""))


def there(cluster: Cluster, obj: Object) -> Object | None:
    meta = obj["metadata"]
    return cluster.find(obj["apiVersion"], obj["kind"], meta["name"], meta.get("namespace", ""))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give where a manifest has an object with fields of its own, not a map of anything."""
    free = {"labels", "annotations", "data", "requests", "limits"}
    if isinstance(value, dict) and not (path and path[-1] in free):
        yield path
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from places(item, (*path, number))


@pytest.mark.parametrize(("make", "setup", "works"), ALL)
def test_one_unknown_field_anywhere_is_found(
    make: Callable[..., list[Manifest]],
    setup: Setup,
    works: list[Work],
    cluster: Cluster,
) -> None:
    """Prove that the validation above sees every level of what is written."""
    for obj in objects(make(works, setup)):
        for path in places(obj):
            wrong = copy.deepcopy(obj)
            at = wrong
            for step in path:
                at = at[step]
            at["unknownToAnybody"] = 1
            with pytest.raises(ApiError, match="unknownToAnybody"):
                cluster.create(wrong, dry_run=True)


# --- what the pod does --------------------------------------------------------------------------


def on_this_machine(pod: Object, directory: Path) -> tuple[list[str], dict[str, str]]:
    """Give a container's command line and environment with its mounts in a directory."""
    (container,) = pod["containers"]
    words = [*container["command"], *container["args"]]
    for mount in container["volumeMounts"]:
        words = [word.replace(mount["mountPath"], f"{directory}/{mount['name']}") for word in words]
        (directory / mount["name"]).mkdir(exist_ok=True)
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    path = f"{directory / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return words, {**os.environ, **environment, "HOME": str(directory / "home"), "PATH": path}


@pytest.fixture
def real(tmp_path: Path) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """Give the command line of a pod that runs notebooks on a rehearsal cluster of its own."""

    def go(option: str, **parameters: Any) -> tuple[list[str], dict[str, str]]:
        setup = Setup("i", copy_to=f"file://{tmp_path}/bucket", options=(option,))
        manifests = kubernetes_jobs([Work("pi", parameters)], setup)
        words, environment = on_this_machine(pod_of(manifests), tmp_path)
        (tmp_path / "parameters" / "pi.yaml").write_text(objects(manifests)[1]["data"]["pi.yaml"])
        return words, environment | {"RUNBOOK_REHEARSAL_DIR": str(tmp_path / "none")}

    return go


def copied(tmp_path: Path) -> Object:
    (result,) = (tmp_path / "bucket").glob("*/result.json")
    return json.loads(result.read_text())


def test_what_the_pod_runs_is_a_run_and_a_copy(tmp_path: Path, real: Callable[..., Any]) -> None:
    words, environment = real("--only=00", timeout=60)
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    read = copied(tmp_path)
    assert (read["status"], read["parameters"]["timeout"]) == ("ok", 60)
    assert [step["notebook"] for step in read["steps"]] == ["00-preflight"]


def test_a_run_in_a_pod_that_is_ended_is_copied_as_interrupted(
    tmp_path: Path, real: Callable[..., Any]
) -> None:
    """A shell starts what is in its background deaf to SIGINT, which is how cells are ended."""
    words, environment = real("--from=10", create_ca=True)
    environment["PYTHONUNBUFFERED"] = "1"  # to see lines as they come
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as pod:
        for line in pod.stdout:
            if "14-linkerd-crds" in line:  # the next takes seconds
                pod.send_signal(signal.SIGTERM)
                break
        pod.communicate(timeout=60)
    assert pod.returncode == 130
    read = copied(tmp_path)
    assert (read["status"], read["exit_status"]) == ("interrupted", 130)
    assert read["steps"][-1]["status"] == "not-run"


RUNBOOK = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  records) exit {copied};;
  *) {ran};;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., tuple[list[str], dict[str, str]]]:
    """Give the pod's command line, with a program of the test's in place of ``runbook``."""

    def go(ran: str, copied: int = 0) -> tuple[list[str], dict[str, str]]:
        program = tmp_path / "bin" / "runbook"
        program.parent.mkdir()
        program.write_text(RUNBOOK.format(log=tmp_path / "log", ran=ran, copied=copied))
        program.chmod(0o755)
        return on_this_machine(pod_of(kubernetes_jobs([HERE], COPY)), tmp_path)

    return go


@pytest.mark.parametrize(("ran", "copied", "status"), [(0, 0, 0), (3, 0, 3), (0, 9, 4), (1, 9, 1)])
def test_a_copy_that_fails_is_a_failure(
    tmp_path: Path, stand_in: Callable[..., Any], ran: int, copied: int, status: int
) -> None:
    words, environment = stand_in(f"exit {ran}", copied)
    done = subprocess.run(words, env=environment, timeout=30, check=False)
    assert done.returncode == status
    run, copy_ = (tmp_path / "log").read_text().splitlines()
    parameters, records = tmp_path / "parameters", tmp_path / "records"
    assert run == f"run --file={parameters}/here.yaml --output={records}"
    assert copy_ == f"records export last s3://bucket/r --output {records}"


def test_a_pod_that_is_ended_keeps_its_record(tmp_path: Path, stand_in: Callable[..., Any]) -> None:
    words, environment = stand_in(
        "trap 'sleep 0.2; exit 130' TERM; echo begun; while :; do sleep 0.01; done"
    )
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as pod:
        assert pod.stdout.readline() == "begun\n"
        pod.send_signal(signal.SIGTERM)
        assert pod.wait(timeout=30) == 130
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("records export last")


def test_a_pod_that_is_ended_just_as_its_run_begins_keeps_its_record(
    tmp_path: Path, stand_in: Callable[..., Any]
) -> None:
    begun = tmp_path / "begun"
    words, environment = stand_in(
        f"trap 'exit 130' TERM; touch {begun}; while :; do sleep 0.01; done"
    )
    known = "run=$!"
    meanwhile = f"until [ -e {begun} ]; do sleep 0.01; done; kill -TERM $$; {known}"
    assert sum(word.count(known) for word in words) == 1
    words = [word.replace(known, meanwhile) for word in words]
    done = subprocess.run(words, env=environment, timeout=30, check=False)
    assert done.returncode == 130
    assert (tmp_path / "log").read_text().splitlines()[-1].startswith("records export last")


# --- the command --------------------------------------------------------------------------------


def test_the_command_prints_manifests(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    here, north = write("cluster: in-cluster\n"), write("cluster: north\n", "b.yaml")
    files = ["-f", str(*here.files), "-f", str(*north.files)]
    options = "--image i --claim c --kubeconfig-secret k --cluster-role r --only 00,11-12"
    options += " --mode plan"
    assert _status(["export", "kubernetes-jobs", *files, *options.split()]) == 0
    found = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [obj["metadata"]["name"] for obj in found if obj["kind"] == "Job"] == [
        "linkerd-runbook-in-cluster",
        "linkerd-runbook-north",
    ]
    assert found[-1]["spec"]["template"]["spec"]["containers"][0]["args"][-1] == "--only=00,11-12"
    assert _status(["export", "argo", *files, *options.split(), "--parallel", "5"]) == 0
    template = list(yaml.safe_load_all(capsys.readouterr().out))[-1]
    assert (template["kind"], template["spec"]["parallelism"]) == ("Workflow", 5)


def test_notebooks_that_are_asked_for_can_be_exported(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--image i --claim c --cluster-role r -p cluster=in-cluster --with 60-63 --until 16"
    assert _status(["export", "kubernetes-jobs", *options.split()]) == 0
    job = list(yaml.safe_load_all(capsys.readouterr().out))[-1]
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-2:] == ["--until=16", "--with=60-63"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--claim c", "Missing option '--image'"),
        ("--image i --claim c --only 99", "there is no notebook '99'"),
        ("--image i --claim c --with 61,70-79", "there is no notebook in 70-79"),
        ("--image i --claim c -p tiemout=5", "did you mean timeout?"),
        ("--image i --claim c --parallel 2", "--parallel is for argo"),
    ],
)
def test_wrong_usage_prints_nothing(
    options: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status(["export", "kubernetes-jobs", *options.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
