"""The Summary API: what is there, what is not, and how old it is."""

from __future__ import annotations

from typing import Any

import pytest
import summary_samples as samples

from runbook.bench import kubelet
from runbook.bench.snapshot import Usage
from runbook.errors import ApiError, ForbiddenError, UnreachableError

BENCH = frozenset({"linkerd-bench"})
PROXY = f"linkerd-bench/{samples.SERVER}/linkerd-proxy"
APP = f"linkerd-bench/{samples.SERVER}/fortio"
POD = f"linkerd-bench/{samples.SERVER}"


def zeroed(answer: Any, fields: tuple[str, ...]) -> Any:
    if isinstance(answer, dict):
        return {k: 0 if k in fields else zeroed(v, fields) for k, v in answer.items()}
    return [zeroed(v, fields) for v in answer] if isinstance(answer, list) else answer


def test_counters_times_and_memory() -> None:
    found = kubelet.parse(samples.summary(), "node2", BENCH, [POD])
    assert found.missing == ()
    assert found.node == Usage(
        cpu_seconds=4200.0,
        time=samples.SAMPLED,
        working_set=900_000_000,
        rss=500_000_000,
        started="2026-11-20T08:59:30Z",
    )
    assert set(found.containers) == {APP, PROXY}, "other namespaces are left out"
    assert found.containers[PROXY] == Usage(
        cpu_seconds=2.5,
        time=samples.SAMPLED,
        working_set=7_000_000,
        rss=6_000_000,
        started=samples.STARTED,
    )


@pytest.mark.parametrize("zeroes", [False, True])
def test_without_a_memory_cgroup_memory_is_missing_not_zero(zeroes: bool) -> None:
    answer = samples.summary()
    answer = (
        zeroed(answer, ("workingSetBytes", "rssBytes", "usageBytes"))
        if zeroes
        else samples.strip(answer, "memory")
    )
    found = kubelet.parse(answer, "node2", BENCH)
    assert found.containers[PROXY].working_set is None
    assert found.containers[PROXY].rss is None
    assert found.containers[PROXY].cpu_seconds == 2.5
    assert found.missing == (
        "node node2: its kubelet says no memory of the node",
        "node node2: its kubelet says no memory of any container: its memory cgroup is off: "
        "append cgroup_memory=1 cgroup_enable=memory to the line of /boot/firmware/cmdline.txt "
        "and reboot it",
    )


def test_a_container_without_figures_is_named() -> None:
    answer = samples.summary()
    answer["pods"][0]["containers"][0].pop("cpu")
    found = kubelet.parse(answer, "node2", BENCH)
    assert found.containers[APP].cpu_seconds is None
    assert found.containers[APP].time == samples.SAMPLED, "memory has a time, too"
    assert found.missing == (f"container {APP}: its kubelet says no CPU time",)


@pytest.mark.parametrize("how", ["no entry", "no cpu"])
def test_a_proxy_without_figures_is_the_rest_of_its_pod(how: str) -> None:
    answer = samples.summary()
    proxy = answer["pods"][0]["containers"][1]
    if how == "no entry":
        answer["pods"][0]["containers"].remove(proxy)
    else:
        proxy.pop("cpu")
    found = kubelet.parse(answer, "node2", BENCH, [POD])
    usage = found.containers[PROXY]
    assert usage.cpu_seconds == pytest.approx(2.53)  # the pod's sandbox is in it
    assert (usage.working_set, usage.rss) == (7_300_000, 6_050_000)
    assert usage.started == "2026-11-24T21:59:58Z"
    assert found.missing == (
        f"pod {POD}: no figures of linkerd-proxy itself; taken as the pod's less those of its "
        "other containers",
    )


def test_no_figures_of_the_pod_either() -> None:
    answer = samples.summary()
    answer["pods"][0]["containers"].pop()
    answer["pods"][0].pop("cpu")
    found = kubelet.parse(answer, "node2", BENCH, [POD])
    assert PROXY not in found.containers
    assert found.missing == (
        f"pod {POD}: its kubelet says no CPU time of linkerd-proxy, nor of the whole pod",
    )


def test_of_two_containers_of_one_name_the_later_counts() -> None:
    answer = samples.summary()
    old = samples.container("fortio", 77, 1, 1)
    old["startTime"] = "2026-11-24T21:00:00Z"
    answer["pods"][0]["containers"].append(old)
    assert kubelet.parse(answer, "node2", BENCH).containers[APP].cpu_seconds == 5.0


@pytest.mark.parametrize("answer", ["404 page not found", {}, [], None, {"node": None}])
def test_what_is_no_summary_is_said(answer: Any) -> None:
    found = kubelet.parse(answer, "node2", BENCH)
    assert (found.node, found.containers) == (None, {})
    assert found.missing == ("node node2: the answer is no summary",)


class Kubelets(kubelet.Clock):
    """Answers one after the other; the last one for ever. Time passes with every sleep."""

    def __init__(self, *answers: Any, now: float = 0.0) -> None:
        self.answers = list(answers)
        self.now = now
        self.paths: list[str] = []

    def read(self, path: str) -> Any:
        self.paths.append(path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def time(self) -> float:
        return self.now

    def sleep(self, length: float) -> None:
        assert length > 0
        self.now += length


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            ForbiddenError("cannot get nodes/proxy", code=403, why="no"),
            "node node2: cannot get nodes/proxy (needs get on nodes/proxy)",
        ),
        (
            ApiError("cannot get it", code=503, why="dial tcp 10.0.0.2:10250: no route to host"),
            "node node2: cannot get it: dial tcp 10.0.0.2:10250: no route to host",
        ),
        (
            UnreachableError("cannot reach the API server"),
            "node node2: cannot reach the API server",
        ),
        (ValueError("Expecting value"), "node node2: the answer is no JSON"),
    ],
)
def test_errors_become_sentences(error: Exception, said: str) -> None:
    assert kubelet.summary(Kubelets(error), "node2", BENCH).missing == (said,)


def test_asks_for_cpu_and_memory_alone() -> None:
    asked = Kubelets(samples.summary())
    kubelet.summary(asked, "node 2/x", BENCH)
    assert asked.paths == [
        "/api/v1/nodes/node%202%2Fx/proxy/stats/summary?only_cpu_and_memory=true"
    ]


# --- how old a sample is ------------------------------------------------------------------------


def at(second: int) -> str:
    return f"2026-11-24T23:00:{second:02}Z"


START = kubelet.seconds(at(0)) or 0.0


def answer(node: int, proxy: int) -> Any:
    made = samples.summary(
        samples.pod(
            "linkerd-bench", samples.SERVER, samples.container("linkerd-proxy", 5, 6, 7, at(proxy))
        )
    )
    made["node"]["cpu"]["time"] = at(node)
    return made


def test_waits_until_every_sample_is_younger_than_the_moment() -> None:
    asked = Kubelets(answer(9, 4), answer(19, 4), answer(19, 17), answer(29, 29), now=START + 10)
    said = kubelet.fresh(asked, "node2", START + 15, 20, namespaces=BENCH, clock=asked)
    assert said == ""
    assert len(asked.paths) == 3, "it ends as soon as it can"
    assert asked.now == START + 12


@pytest.mark.parametrize(("sampled", "fresh"), [(14, False), (15, True)])
def test_a_time_is_cut_to_the_second_so_the_same_second_is_late_enough(
    sampled: int, fresh: bool
) -> None:
    asked = Kubelets(answer(sampled, sampled), now=START + 16)
    said = kubelet.fresh(asked, "node2", START + 15, 2, namespaces=BENCH, clock=asked)
    assert (said == "") is fresh


def test_other_namespaces_are_not_waited_for() -> None:
    asked = Kubelets(answer(19, 4), now=START + 18)
    assert kubelet.fresh(asked, "node2", START + 15, 20, clock=asked) == ""


def test_gives_up_and_says_what_is_old() -> None:
    asked = Kubelets(answer(19, 4), now=START + 18)
    said = kubelet.fresh(asked, "node2", START + 15, 20, namespaces=BENCH, clock=asked)
    assert said == f"node node2: the sample of {PROXY} is still 11 s too old, after 20 s"
    assert asked.now == START + 38


def test_an_error_meanwhile_is_waited_out() -> None:
    error = ApiError("cannot get it", code=503)
    asked = Kubelets(error, answer(19, 19), now=START + 18)
    assert kubelet.fresh(asked, "node2", START + 15, 20, clock=asked) == ""
    failing = Kubelets(error, now=START)
    said = kubelet.fresh(failing, "node2", START, 3, clock=failing)
    assert said == "node node2: cannot get it, after 3 s"


def test_a_clock_that_is_ahead_does_not_pass_an_old_sample() -> None:
    asked = Kubelets(answer(40, 40), answer(40, 40), answer(52, 52), now=START + 10)
    assert kubelet.fresh(asked, "node2", START + 10, 20, namespaces=BENCH, clock=asked) == ""
    assert len(asked.paths) == 3


def test_samples_without_a_time_are_never_fresh() -> None:
    asked = Kubelets(samples.strip(samples.summary(), "time"), now=START)
    said = kubelet.fresh(asked, "node2", START, 2, namespaces=BENCH, clock=asked)
    assert said == "node node2: its kubelet gives no time of any sample, after 2 s"


def test_times_with_nanoseconds_and_zones() -> None:
    assert kubelet.seconds("1970-01-01T00:00:01.500000000Z") == 1.5
    assert kubelet.seconds("1970-01-01T01:00:01+01:00") == 1.0
    assert kubelet.seconds("") is None
