"""The rehearsal cluster as a whole: starting, keeping, stopping."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare import CONFIGMAPS, Api, config_map
from cryptography import x509

from runbook.errors import RehearsalError
from runbook.rehearsal import Twin, active, default_directory, down, status, up


def bare(directory: Path | None = None, **options: bool) -> Twin:
    return Twin(directory=directory, content=False, controllers=False, kubelet=False, **options)


class TestTwin:
    def test_the_kubeconfig_says_that_this_is_a_rehearsal(self) -> None:
        with bare() as twin:
            config = json.loads(twin.kubeconfig.read_text())
            assert stat.S_IMODE(twin.kubeconfig.stat().st_mode) == 0o600
            assert config["current-context"] == "rehearsal"
            (extension,) = config["clusters"][0]["cluster"]["extensions"]
            assert extension["name"] == "runbook-rehearsal"
            repository = extension["extension"]["chartRepository"]
            assert repository == twin.chart_repository
            with urllib.request.urlopen(f"{repository}/index.yaml") as index:
                assert b"linkerd-control-plane" in index.read()
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{repository}/../kubeconfig")
            directory = twin.directory
        assert not directory.exists(), "a temporary directory does not stay"

    def test_the_servers_certificate_is_its_own_authoritys(self, tmp_path: Path) -> None:
        with bare(tmp_path) as twin:
            ca = x509.load_pem_x509_certificate((tmp_path / "tls/ca.crt").read_bytes())
            chain = x509.load_pem_x509_certificates((tmp_path / "tls/server.crt").read_bytes())
            chain[0].verify_directly_issued_by(ca)
            names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert "kubernetes.default.svc" in names.get_values_for_type(x509.DNSName)
            assert twin.url.startswith("https://127.0.0.1:")
        for name in ("ca.key", "server.key", "token"):
            assert stat.S_IMODE((tmp_path / "tls" / name).stat().st_mode) == 0o600

    def test_nothing_shows_the_token(self) -> None:
        with bare() as twin:
            token = Api(twin).token
            assert token not in repr(twin) + repr(twin.api) + repr(vars(twin))

    def test_it_starts_once(self) -> None:
        with bare() as twin, pytest.raises(RehearsalError, match="running already"):
            twin.start()

    def test_it_can_be_stopped_twice_and_is_not_running_before(self) -> None:
        twin = bare()
        with pytest.raises(RehearsalError, match="not running"):
            _ = twin.api
        twin.start()
        twin.stop()
        twin.stop()

    def test_open_watches_end_when_it_stops(self) -> None:
        twin = bare()
        twin.start()
        with Api(twin).open("GET", f"{CONFIGMAPS}?watch=true") as answer:
            twin.stop()
            assert answer.read() == b""

    @pytest.mark.parametrize("version", ["1.24", "1.29", "1.35", "1.37"])
    def test_versions(self, version: str) -> None:
        with Twin(kubernetes_version=version, content=False, controllers=False) as twin:
            api = Api(twin)
            assert api("GET", "/version").body["gitVersion"] == f"v{version}.0+k3s1"
            assert api("POST", CONFIGMAPS, config_map("a")).status == 201
            old = api("GET", "/apis/batch/v1beta1/namespaces/default/cronjobs").status
            assert old == (200 if version == "1.24" else 404)


class TestPersistence:
    def test_objects_revisions_and_credentials_survive(self, tmp_path: Path) -> None:
        with bare(tmp_path, persist=True) as twin:
            made = Api(twin)("POST", CONFIGMAPS, config_map("kept", data={"a": "1"})).body
            token, url = Api(twin).token, twin.url
        assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600
        with bare(tmp_path, persist=True) as twin:
            api = Api(twin)
            assert (api.token, twin.url) == (token, url)
            found = api("GET", f"{CONFIGMAPS}/kept").body
            assert found == made
            later = api("POST", CONFIGMAPS, config_map("next")).body["metadata"]
            assert int(later["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
            old = made["metadata"]["resourceVersion"]
            (event,) = api("GET", f"{CONFIGMAPS}?watch=1&resourceVersion={int(old) - 1}").events
            assert event["object"]["code"] == 410

    def test_custom_resources_survive(self, tmp_path: Path) -> None:
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": schema},
        }
        names = {"plural": "lamps", "singular": "lamp", "kind": "Lamp"}
        spec = {"group": "example.org", "scope": "Cluster", "names": names, "versions": [version]}
        crd = {"metadata": {"name": "lamps.example.org"}, "spec": spec}
        lamps = "/apis/example.org/v1/lamps"
        with bare(tmp_path, persist=True) as twin:
            Api(twin)("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
            lamp = {"apiVersion": "example.org/v1", "kind": "Lamp", "metadata": {"name": "l"}}
            assert Api(twin)("POST", lamps, lamp).status == 201
        with bare(tmp_path, persist=True) as twin:
            assert Api(twin)("GET", f"{lamps}/l").status == 200

    def test_nothing_is_kept_unless_asked(self, tmp_path: Path) -> None:
        with bare(tmp_path) as twin:
            Api(twin)("POST", CONFIGMAPS, config_map("lost"))
        assert not (tmp_path / "state.json").exists()

    def test_a_damaged_state_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "state.json").write_text('{"format": 1, "rev')
        with pytest.raises(RehearsalError, match="is no saved rehearsal"):
            bare(tmp_path, persist=True).start()


class TestBackground:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Path]:
        yield tmp_path
        down(tmp_path)

    def test_up_is_idempotent_and_down_ends_it(self, place: Path) -> None:
        assert active(place) is None
        kubeconfig = up(place, bare=True)
        running = status(place)
        assert running is not None
        assert active(place) == kubeconfig
        assert up(place, bare=True) == kubeconfig
        assert status(place) == running
        with pytest.raises(RehearsalError, match=r"of Kubernetes 1\.35 is running, not 1\.29"):
            up(place, kubernetes_version="1.29")
        assert down(place)
        assert not running.alive
        assert active(place) is None
        assert not down(place)

    def test_calls_at_once_make_one(self, place: Path) -> None:
        found: list[Path] = []
        calls = [
            threading.Thread(target=lambda: found.append(up(place, bare=True))) for _ in range(3)
        ]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        assert found == [place / "kubeconfig"] * 3

    def test_a_killed_rehearsal_goes_on_where_it_was(self, place: Path) -> None:
        up(place, persist=True, bare=True)
        running = status(place)
        assert running is not None
        config = place / "kubeconfig"
        made = ["kubectl", "--kubeconfig", str(config), "create", "configmap", "kept"]
        subprocess.run(made, check=True, capture_output=True)
        written = threading.Event()
        for _ in range(500):
            if (place / "state.json").exists() and b'"kept"' in (place / "state.json").read_bytes():
                break
            written.wait(0.02)
        os.kill(running.pid, signal.SIGKILL)
        os.waitpid(running.pid, 0)
        assert active(place) is None
        up(place, persist=True, bare=True)
        asked = ["kubectl", "--kubeconfig", str(config), "get", "configmap", "kept"]
        assert subprocess.run(asked, check=False, capture_output=True).returncode == 0

    def test_it_lets_go_of_the_callers_output(self, place: Path) -> None:
        code = f"from runbook.rehearsal import up; from pathlib import Path; print(up(Path({str(place)!r}), bare=True))"  # noqa: E501
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == f"{place / 'kubeconfig'}\n"
        assert status(place) is not None

    def test_a_stale_record_is_not_believed(self, place: Path) -> None:
        stale = {
            "pid": os.getpid(),
            "ticks": 1,
            "url": "https://127.0.0.1:1",
            "chart_repository": "",
            "kubernetes_version": "1.35",
            "started": "",
        }
        (place / "rehearsal.json").write_text(json.dumps(stale))
        assert status(place) is None
        assert not down(place)
        (place / "rehearsal.json").write_text("{")
        assert status(place) is None

    def test_a_failed_start_shows_the_log(self, place: Path) -> None:
        (place / "state.json").write_text("nonsense")
        with pytest.raises(RehearsalError) as failed:
            up(place, persist=True, bare=True)
        assert "is no saved rehearsal" in failed.value.why


def test_where_it_lives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNBOOK_REHEARSAL_DIR", str(tmp_path))
    assert default_directory() == tmp_path
    monkeypatch.delenv("RUNBOOK_REHEARSAL_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert default_directory() == Path("/x/linkerd-runbook/rehearsal")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/pi")
    assert default_directory() == Path("/home/pi/.local/state/linkerd-runbook/rehearsal")
