"""How containers become processes: their environment, whom they talk to, their certificates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runbook.rehearsal.client import Object
from runbook.rehearsal.controllers import kinds
from runbook.rehearsal.controllers.manager import Cluster, Key
from runbook.rehearsal.images import Access, Behaviour, Situation
from runbook.rehearsal.images.proxy import OUTBOUND, ignores
from runbook.rehearsal.kubelet import leaves, volumes
from runbook.rehearsal.kubelet.containers import PROXY, Container
from runbook.rehearsal.kubelet.network import Network, UnreachableError
from runbook.rehearsal.kubelet.processes import Process, Program, write_files
from runbook.rehearsal.kubelet.sandbox import Sandbox

__all__ = ["Launcher", "write_mounts"]

_CONFIG = "config"
"""Directory of a container for the files that its behaviour makes."""
_SCRATCH = ".volumes"
"""Directory of a pod for its emptyDir volumes; no container can have this name."""
_ISSUER = "linkerd-identity-issuer"

Mounts = Mapping[str, Mapping[str, bytes]]


class Launcher:
    """Starts the processes of containers.

    Args:
        cluster: How to read.
        network: Finds whom a container talks to.
        look: Asks for a reconcile of a pod, after some seconds.
        throttled: Tells whether a node is too hot.
    """

    def __init__(
        self,
        cluster: Cluster,
        network: Network,
        look: Callable[[Key, float], None],
        throttled: Callable[[str], bool],
    ) -> None:
        self._cluster = cluster
        self._network = network
        self._look = look
        self._throttled = throttled

    def situation(
        self, pod: Object, sandbox: Sandbox, container: Container
    ) -> tuple[Situation, dict[str, dict[str, bytes]]]:
        """Give what a container finds when it starts, and its mounted files by mount path.

        Raises:
            MissingError: A ConfigMap, a Secret or a key it needs does not exist.
        """
        cache = self._cluster.cache
        placed = dict(pod, status={**(pod.get("status") or {}), "podIP": sandbox.address})
        mounts = volumes.files(placed, container.spec, cache)
        env = volumes.environment(placed, container.spec, cache)
        flat = {f"{path}/{name}": data for path, m in mounts.items() for name, data in m.items()}
        return Situation(pod, container.spec, env, flat), mounts

    def target(self, pod: Object, sandbox: Sandbox, container: Container, target: str) -> str:
        """Find where a target really is: behind the pod's own proxy, where it has one.

        Args:
            pod: The pod.
            sandbox: The same, running.
            container: Who wants to connect.
            target: ``host:port`` as it names it.

        Returns:
            Host and port to connect to; empty for no target.

        Raises:
            UnreachableError: Nobody is there.
        """
        if not target:
            return ""
        place = self._network.resolve(target, sandbox.key[0])
        relay = sandbox.relay
        port = int(target.rpartition(":")[2])
        if not sandbox.meshed or ignores(pod, port, inbound=False):
            return f"127.0.0.1:{place.port}"
        if relay is None or relay.process is None:
            raise UnreachableError(f"dial tcp {target}: connection refused (no proxy runs)")
        key = OUTBOUND + sandbox.main.index(container)
        sandbox.routes["outbound"][str(key)] = place.route()
        sandbox.write_routes()
        return f"127.0.0.1:{relay.process.addresses[key]}"

    def spawn(
        self,
        sandbox: Sandbox,
        container: Container,
        behaviour: Behaviour,
        mounts: Mounts,
        place: str,
    ) -> Process:
        """Start the process of a container.

        Args:
            sandbox: Its pod.
            container: The container.
            behaviour: What it is to run.
            mounts: What it sees at its mount paths.
            place: Where its target really is.
        """
        container.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = container.directory / "log"
        container.behaviour, container.stale = behaviour, False
        self._write_config(container)

        def changed() -> None:
            self._look(sandbox.key, 0.0)

        env = {**container.env(), **behaviour.env}
        make = behaviour.arguments or (lambda *_: tuple(container.spec.get("args") or []))
        if behaviour.program:
            return Program(
                behaviour.program,
                arguments=lambda addresses: make(addresses, place),
                ports=behaviour.ports,
                env=env,
                log=log,
                changed=changed,
                probe=behaviour.probe,
            )
        return Process(
            behaviour.module,
            ports=behaviour.ports,
            env=env,
            settings={
                **self._settings(sandbox, container, behaviour, mounts),
                "args": list(make({}, place)),
            },
            log=log,
            changed=changed,
        )

    def _settings(
        self,
        sandbox: Sandbox,
        container: Container,
        behaviour: Behaviour,
        mounts: Mounts,
    ) -> Object:
        client = self._cluster.client
        extra = dict(behaviour.extra)
        if container.name == PROXY:
            self.certify(container)
            identity = str(container.directory / "identity") if container.leaf else ""
            routes = str(sandbox.routes_file)
            extra |= {"identity": identity, "routes": routes, "address": sandbox.address}
        elif container.name == "probe":
            self.heat(sandbox)
        return {
            "mounts": write_mounts(container, mounts) | _scratch(sandbox, container),
            "server": client.server,
            "ca": client.ca,
            "token": client.token,
            "ports": {
                p.get("name", ""): p["containerPort"] for p in container.spec.get("ports") or []
            },
            "namespace": sandbox.key[0],
            "pod": sandbox.key[1],
            "node": sandbox.node,
            "directory": str(container.directory),
            "extra": extra,
        }

    def remake(self, container: Container) -> None:
        """Make the files of a process anew: what is mounted has changed."""
        self._write_config(container)
        container.stale = bool(container.behaviour.reload)

    def tell(self, container: Container) -> None:
        """Have a process read its files again, once it can be told."""
        process = container.process
        if container.stale and process is not None and process.ready:
            process.signal(container.behaviour.reload)
            container.stale = False

    def _write_config(self, container: Container) -> None:
        make, situation = container.behaviour.files, container.situation
        if make is not None and situation is not None:
            client = self._cluster.client
            access = Access(client.server, client.ca, client.token)
            write_files(container.directory / _CONFIG, make(situation, access))

    def certify(self, container: Container) -> None:
        """Give a proxy its certificate, or the next one; none where there is no issuer."""
        env = container.env()
        name = env.get("LINKERD2_PROXY_IDENTITY_LOCAL_NAME", "")
        anchors = env.get("LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "")
        space = leaves.control_namespace(name)
        issuer = self._cluster.cache.get(kinds.SECRETS, _ISSUER, space) if space else None
        leaf = leaves.issue(name, anchors, issuer) if issuer is not None else None
        if leaf is not None:
            write_files(container.directory / "identity", leaf.files)
            container.leaf = leaf

    def heat(self, sandbox: Sandbox) -> None:
        """Tell a probe whether its node is too hot."""
        for container in sandbox.main:
            if container.name == "probe" and container.directory.is_dir():
                mark = container.directory / "throttled"
                if self._throttled(sandbox.node):
                    mark.touch()
                else:
                    mark.unlink(missing_ok=True)


def _scratch(sandbox: Sandbox, container: Container) -> dict[str, str]:
    """Make the directories that the containers of a pod share; give them by mount path."""
    assert container.situation is not None  # noqa: S101  # it is about to start
    entries = container.situation.pod["spec"].get("volumes") or []
    shared = {volume["name"] for volume in entries if "emptyDir" in volume}
    result = {}
    for mount in container.spec.get("volumeMounts") or []:
        if mount["name"] in shared:
            target = sandbox.directory / _SCRATCH / mount["name"]
            target.mkdir(parents=True, exist_ok=True, mode=0o700)
            result[mount["mountPath"].rstrip("/")] = str(target)
    return result


def write_mounts(container: Container, mounts: Mounts) -> dict[str, str]:
    """Put mounted files where a process can read them; give its directory for each mount path."""
    result = {}
    for number, (path, contents) in enumerate(sorted(mounts.items())):
        target = container.directory / f"mount-{number}"
        write_files(target, contents)
        result[path] = str(target)
    return result
