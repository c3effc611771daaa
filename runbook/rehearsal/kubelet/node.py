"""The kubelet as a controller: it looks at one pod at a time and takes it one step further."""

from __future__ import annotations

import ipaddress
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from runbook.rehearsal.client import Object, Resource
from runbook.rehearsal.controllers import kinds, pods
from runbook.rehearsal.controllers.manager import Cluster, Key
from runbook.rehearsal.images import Behaviour, Situation
from runbook.rehearsal.kubelet import leaves, pages, stats, status, volumes
from runbook.rehearsal.kubelet.containers import PROXY, Container
from runbook.rehearsal.kubelet.launching import Launcher, write_mounts
from runbook.rehearsal.kubelet.network import Network, UnreachableError
from runbook.rehearsal.kubelet.sandbox import Sandbox
from runbook.rehearsal.kubelet.stats import Running

__all__ = ["Kubelet", "PodFaults"]

_SOURCE = "kubelet"
_STARTING, _STARTED = 0.25, 5.0
"""Seconds between two looks at a process that starts, and for how long they go on."""
_SOON = 2.0
"""Seconds before it is due from which on a certificate is renewed."""
_REMOUNT = 60.0
"""Seconds after which a missing volume is tried again unasked; its appearance comes first."""


class PodFaults(Protocol):
    """What shall go wrong with pods."""

    def crash(self, pod: Object, container: str) -> str | None:
        """Give the last words of a container that shall crash, or None."""

    def delay(self, pod: Object) -> float:
        """Give the seconds until the containers of a pod become ready."""

    def throttled(self, node: str) -> bool:
        """Tell whether a node is too hot."""

    def unlabelled(self, node: str) -> bool:
        """Tell whether a node's cAdvisor metrics do not name containers."""

    def observe(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` after every change."""


class Kubelet:
    """Run the pods of all nodes.

    Args:
        cluster: How to read and write.
        look: Asks for a reconcile of a pod, after some seconds.
        faults: What shall go wrong with pods.
        directory: Where the files of the pods are kept while they run; a temporary one by default.
    """

    name = "kubelet"

    def __init__(
        self,
        cluster: Cluster,
        look: Callable[[Key, float], None],
        faults: PodFaults,
        directory: Path | None = None,
    ) -> None:
        self._cluster = cluster.acting_as("kubelet")
        self._look = look
        self._faults = faults
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)  # left by one that was killed
            directory.mkdir(parents=True, mode=0o700)
        self._root = directory or Path(tempfile.mkdtemp(prefix="rehearsal-pods-"))
        self._pods: dict[str, Sandbox] = {}
        network = Network(cluster.cache, lambda: list(self._pods.values()))
        self._launcher = Launcher(self._cluster, network, look, faults.throttled)
        self._spent: Counter[str] = Counter()
        self._accounts = threading.Lock()
        self._stopping = False
        faults.observe(self._heat)

    def interests(self) -> Mapping[Resource, Callable[[Object], Iterable[Key]]]:
        """Look at pods with a node when they or what they mount changes."""
        return {
            kinds.PODS: lambda pod: [kinds.key(pod)] if pod["spec"].get("nodeName") else [],
            kinds.CONFIGMAPS: lambda obj: self._users("ConfigMap", obj),
            kinds.SECRETS: lambda obj: self._users("Secret", obj),
        }

    def reconcile(self, key: Key) -> float | None:
        """Take one pod a step further, or away."""
        namespace, name = key
        pod = self._cluster.cache.get(kinds.PODS, name, namespace)
        for sandbox in list(self._pods.values()):
            if sandbox.key == key and (pod is None or pod["metadata"]["uid"] != sandbox.uid):
                self._discard(sandbox)
        if pod is None or not pod["spec"].get("nodeName") or self._stopping:
            return None
        if kinds.deleted(pod):
            self._terminate(pod)
            return None
        if pods.terminal(pod):
            self._halt(pod)
            return None
        sandbox = self._pods.get(pod["metadata"]["uid"]) or self._admit(pod)
        with sandbox.lock:
            wait = self._advance(pod, sandbox)
            self._report(pod, sandbox)
        return wait

    def stop(self) -> None:
        """End every process and forget every pod."""
        self._stopping = True
        for sandbox in list(self._pods.values()):
            self._discard(sandbox)
        shutil.rmtree(self._root, ignore_errors=True)

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool, tail: int | None
    ) -> str | None:
        """Give the log of a container, a timestamp before each line; None when there is none."""
        found = self._container(namespace, pod, container)
        if found is None or (previous and found.last is None):
            return None
        lines = found.log(previous=previous)
        if tail is not None:
            lines = lines[-tail:] if tail else []
        return "".join(f"{line}\n" for line in lines)

    def endpoint(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """Say where a port of a pod really listens; None when nothing does."""
        sandbox = self._sandbox(namespace, pod)
        found = sandbox.listener(port) if sandbox is not None else None
        return ("127.0.0.1", found[1]) if found is not None else None

    def page(self, namespace: str, pod: str, port: int, path: str) -> str | None:
        """Give what a simulated container of Linkerd answers at an admin port; None if nothing."""
        sandbox = self._sandbox(namespace, pod)
        found = self._cluster.cache.get(kinds.PODS, pod, namespace)
        if sandbox is None or found is None or pods.terminal(found):
            return None
        return pages.page(sandbox, found, port, path)

    def stats(self, node: str) -> Object:
        """Give what a kubelet answers at ``/stats/summary`` for a node."""
        found = self._cluster.cache.get(kinds.NODES, node) or {"metadata": {"name": node}}
        return stats.summary(found, *self._running(node))

    def metrics(self, node: str, kind: str) -> str:
        """Give what a kubelet answers at ``/metrics/KIND`` for a node: resource or cadvisor."""
        if kind == "resource":
            return stats.resource(self.stats(node))
        return stats.cadvisor(self._running(node)[0], labelled=not self._faults.unlabelled(node))

    def _running(self, node: str) -> tuple[list[Running], int]:
        """Give the pods of a node, and the CPU nanoseconds of those that are over."""
        running = []
        with self._accounts:
            sandboxes, spent = list(self._pods.values()), self._spent[node]
        for sandbox in sandboxes:
            if sandbox.node != node:
                continue
            namespace, name = sandbox.key
            pod = self._cluster.cache.get(kinds.PODS, name, namespace)
            if pod is None or pods.terminal(pod):
                spent += _used(sandbox)
            else:
                running.append(Running(pod, sandbox.started, sandbox.all()))
        return running, spent

    def _heat(self) -> None:
        for sandbox in list(self._pods.values()):
            self._launcher.heat(sandbox)

    def _users(self, kind: str, obj: Object) -> Iterable[Key]:
        namespace, name = kinds.key(obj)
        for pod in self._cluster.cache.all(kinds.PODS, namespace):
            assigned = pod["spec"].get("nodeName") and not pods.terminal(pod)
            if assigned and (kind, name) in volumes.references(pod):
                yield kinds.key(pod)

    def _sandbox(self, namespace: str, pod: str) -> Sandbox | None:
        for sandbox in list(self._pods.values()):
            if sandbox.key == (namespace, pod):
                return sandbox
        return None

    def _container(self, namespace: str, pod: str, container: str) -> Container | None:
        sandbox = self._sandbox(namespace, pod)
        for found in sandbox.all() if sandbox is not None else ():
            if found.name == container:
                return found
        return None

    def _admit(self, pod: Object) -> Sandbox:
        spec = pod["spec"]
        uid = pod["metadata"]["uid"]
        directory = self._root / uid
        policy = spec.get("restartPolicy", "Always")

        def made(entry: Object, init: bool) -> Container:
            own = entry.get("restartPolicy") or ("OnFailure" if init and policy != "Never" else "")
            return Container(entry, init, own or policy, directory / entry["name"])

        node = self._cluster.cache.get(kinds.NODES, spec["nodeName"])
        host = _host_address(node)
        known = (pod.get("status") or {}).get("podIP")
        address = host if spec.get("hostNetwork") else known or self._address(pod, node)
        sandbox = Sandbox(
            uid,
            kinds.key(pod),
            directory,
            address,
            host,
            (pod.get("status") or {}).get("startTime") or kinds.now(),
            [made(entry, True) for entry in spec.get("initContainers") or []],
            [made(entry, False) for entry in spec["containers"]],
            node=spec["nodeName"],
        )
        self._pods[uid] = sandbox
        return sandbox

    def _address(self, pod: Object, node: Object | None) -> str:
        """Take the next free address of the node's pod network."""
        network = ipaddress.ip_network(
            ((node or {}).get("spec") or {}).get("podCIDR") or "10.42.0.0/24"
        )
        taken = {sandbox.address for sandbox in self._pods.values()}
        for other in self._cluster.cache.all(kinds.PODS):
            if not pods.terminal(other):
                taken.add((other.get("status") or {}).get("podIP") or "")
        # .1 is the bridge of the node.
        free = (str(host) for host in list(network.hosts())[1:])
        return next(address for address in free if address not in taken)

    def _advance(self, pod: Object, sandbox: Sandbox) -> float | None:
        """Start what can start; give the seconds until there is more to do."""
        missing = volumes.unmounted(pod, self._cluster.cache)
        if missing and not sandbox.mounted:
            for volume, reason in missing:
                text = f'MountVolume.SetUp failed for volume "{volume}" : {reason}'
                self._warn(pod, "FailedMount", text)
            return _REMOUNT
        sandbox.mounted = True
        waits: list[float] = []
        for container in sandbox.init:
            self._step(pod, sandbox, container, waits)
            if not container.ready:
                return min(waits, default=None)
        for container in sorted(sandbox.main, key=lambda c: c.name != PROXY):
            self._step(pod, sandbox, container, waits)
            if _awaited(container):
                break
        self._complete(sandbox)
        return min(waits, default=None)

    def _step(
        self, pod: Object, sandbox: Sandbox, container: Container, waits: list[float]
    ) -> None:
        """Bring one container to where it should be now."""
        if container.running_since:
            self._refresh(pod, container)
            self._launcher.tell(container)
            self._watch_over(container)
            self._renew(container, waits)
        for _ in range(3):  # a first crash is followed by a restart at once
            if container.ended is not None and self._restarts(container):
                container.restart()
                if container.waiting == "CrashLoopBackOff":
                    text = (
                        f"Back-off restarting failed container {container.name} in pod "
                        f"{pod['metadata']['name']}_{pod['metadata']['namespace']}"
                        f"({pod['metadata']['uid']})"
                    )
                    self._warn(pod, "BackOff", text)
            if container.ended is not None or container.running_since:
                break
            if container.retry_at > time.monotonic():
                break
            self._start(pod, sandbox, container)
        if container.waiting == "CrashLoopBackOff":
            waits.append(max(0.01, container.retry_at - time.monotonic()))
        elif container.running_since and not container.ready:
            waits.append(_until_ready(container))

    def _renew(self, container: Container, waits: list[float]) -> None:
        """Renew the certificate of a proxy when it is due."""
        if container.process is None or container.leaf is None:
            return
        if leaves.due(container.leaf) <= _SOON:
            self._launcher.certify(container)
        waits.append(max(leaves.due(container.leaf), _SOON))

    def _restarts(self, container: Container) -> bool:
        if container.policy == "Always":
            return True
        return container.policy == "OnFailure" and not container.succeeded

    def _start(self, pod: Object, sandbox: Sandbox, container: Container) -> None:
        try:
            situation, mounts = self._launcher.situation(pod, sandbox, container)
        except volumes.MissingError as error:
            container.waiting, container.message = "CreateContainerConfigError", str(error)
            self._warn(pod, "Failed", f"Error: {error}")
            return
        container.situation = situation
        crash = self._faults.crash(pod, container.name)
        if crash is not None:
            behaviour = Behaviour(exit_code=1, log=(crash,))
        else:
            behaviour = container.image.start(situation)
        image = container.spec.get("image", "")
        self._tell(pod, "Pulled", f'Container image "{image}" already present on machine')
        self._tell(pod, "Created", f"Created container: {container.name}")
        self._tell(pod, "Started", f"Started container {container.name}")
        container.run()
        container.say(behaviour.log)
        container.ready_at = time.monotonic() + self._faults.delay(pod)
        if behaviour.exit_code is not None:
            container.end(behaviour.exit_code)
        elif behaviour.module or behaviour.program:
            try:
                place = self._launcher.target(pod, sandbox, container, behaviour.target)
            except UnreachableError as error:
                container.say((f"rehearsal: {error}",))
                container.end(1)
                return
            container.process = self._launcher.spawn(sandbox, container, behaviour, mounts, place)
            sandbox.connect(container)

    def _refresh(self, pod: Object, container: Container) -> None:
        """Show a running container the files that have changed since."""
        before = container.situation
        if before is None or not before.files:
            return
        try:
            mounts = volumes.files(pod, container.spec, self._cluster.cache)
        except volumes.MissingError:
            return  # what is mounted stays as it was
        flat = {f"{path}/{name}": data for path, m in mounts.items() for name, data in m.items()}
        if flat == before.files:
            return
        container.situation = Situation(pod, container.spec, before.env, flat)
        if container.process is not None:
            write_mounts(container, mounts)
            self._launcher.remake(container)
        notice = container.image.changed(before, container.situation)
        if notice is None:
            return
        container.say(notice.log)
        about = self._cluster.cache.get(
            kinds.DEPLOYMENTS, notice.deployment, pod["metadata"]["namespace"]
        )
        if notice.reason and about is not None:
            record = self._cluster.record
            tell = record.warning if notice.warning else record.normal
            tell(kinds.DEPLOYMENTS, about, notice.deployment, notice.reason, notice.message)

    def _watch_over(self, container: Container) -> None:
        process = container.process
        if process is not None and process.exit_code is not None:
            container.lines.extend(container.log(previous=False)[len(container.lines) :])
            container.end(process.exit_code if process.exit_code >= 0 else 128 - process.exit_code)
            (container.directory / "log").unlink(missing_ok=True)

    def _complete(self, sandbox: Sandbox) -> None:
        """When the work is done, end what only served it: sidecars, and an awaited proxy."""
        proxies = [c for c in sandbox.main if c.name == PROXY]
        work = [c for c in sandbox.main if c not in proxies]
        if not work or not all(c.ended is not None and not self._restarts(c) for c in work):
            return
        if any(_shuts_down(c) for c in work):
            for proxy in proxies:
                if proxy.running_since and _may_be_shut_down(proxy):
                    self._kill(proxy, 0)
        if all(c.ended is not None for c in sandbox.main):
            for sidecar in sandbox.init:
                if sidecar.sidecar and sidecar.running_since:
                    self._kill(sidecar, 0)

    def _kill(self, container: Container, code: int) -> None:
        if container.process is not None:
            container.process.stop()
            container.lines.extend(container.log(previous=False)[len(container.lines) :])
        if container.running_since:
            container.end(code)

    def _terminate(self, pod: Object) -> None:
        """End a pod that is being deleted, then take it out of the API."""
        meta = pod["metadata"]
        sandbox = self._pods.get(meta["uid"])
        if sandbox is not None and sandbox.gone:
            return
        if sandbox is not None:
            with sandbox.lock:
                for container in sandbox.all():
                    self._kill(container, 0 if container.sidecar else 143)
                sandbox.gone = True
                if meta.get("finalizers"):
                    self._report(pod, sandbox)
        namespace, name = kinds.key(pod)
        if meta.get("deletionGracePeriodSeconds") != 0 or not meta.get("finalizers"):
            self._cluster.client.delete(kinds.PODS, name, namespace, grace=0, uid=meta["uid"])

    def _halt(self, pod: Object) -> None:
        """End the processes of a pod that has finished, or was declared so."""
        sandbox = self._pods.get(pod["metadata"]["uid"])
        for container in sandbox.all() if sandbox is not None else ():
            self._kill(container, 0)

    def _discard(self, sandbox: Sandbox) -> None:
        with sandbox.lock:
            for container in sandbox.all():
                self._kill(container, 143)
        with self._accounts:
            if self._pods.pop(sandbox.uid, None) is not None:
                self._spent[sandbox.node] += _used(sandbox)
        shutil.rmtree(sandbox.directory, ignore_errors=True)

    def _report(self, pod: Object, sandbox: Sandbox) -> None:
        built = status.build(
            pod,
            address=sandbox.address if sandbox.mounted else "",
            host=sandbox.host,
            started=sandbox.started,
            init=sandbox.init,
            main=sandbox.main,
        )
        self._cluster.set_status(kinds.PODS, pod, built)

    def _tell(self, pod: Object, reason: str, text: str) -> None:
        self._cluster.record.normal(kinds.PODS, pod, _SOURCE, reason, text)

    def _warn(self, pod: Object, reason: str, text: str) -> None:
        self._cluster.record.warning(kinds.PODS, pod, _SOURCE, reason, text)


def _used(sandbox: Sandbox) -> int:
    """Give the CPU nanoseconds a pod has used in all."""
    accounts = [container.account() for container in sandbox.all()]
    return sum(account.cpu + account.spent for account in accounts)


def _awaited(container: Container) -> bool:
    """Tell whether the containers after a proxy still wait for it (``linkerd-await``)."""
    awaits = "postStart" in (container.spec.get("lifecycle") or {})
    starting = container.process is not None and not container.process.ready
    return container.name == PROXY and awaits and starting


def _until_ready(container: Container) -> float:
    """Give the seconds until a container that runs may be ready.

    A process says itself when it is. The short wait while it starts only keeps the cluster from
    being called settled before.
    """
    left = container.ready_at - time.monotonic()
    if container.process is None:
        return max(0.01, left)
    return _STARTING if left > -_STARTED else _REMOUNT


def _host_address(node: Object | None) -> str:
    for entry in ((node or {}).get("status") or {}).get("addresses") or []:
        if entry["type"] == "InternalIP":
            return str(entry["address"])
    return "10.0.0.10"


def _shuts_down(container: Container) -> bool:
    """Tell whether a container ends the proxy after itself: ``linkerd-await --shutdown``."""
    words = [*(container.spec.get("command") or []), *(container.spec.get("args") or [])]
    return any("linkerd-await" in word for word in words) and bool(
        {"--shutdown", "-S"} & set(words)
    )


def _may_be_shut_down(proxy: Container) -> bool:
    """Tell whether the proxy answers ``/shutdown``: by default only up to Linkerd 2.15."""
    return proxy.env().get("LINKERD2_PROXY_SHUTDOWN_ENDPOINT_ENABLED", "true") == "true"
