"""Lines of Prometheus' text format, as proxies write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runbook.linkerd.metrics import samples


def test_lines_of_the_format() -> None:
    text = "\n".join(
        (
            r'm{a="x\"y\\z\n",b="with } and , and #"} 1.5e3 1795563600000',
            "m 2",
            "m { } 3",
            'm{a="1",} +Inf',
            'm{a="1"} 4 # {trace_id="abc"} 0.5',
            "m{broken 5",
            "m_of_another_kind 6",
            "m",
        )
    )
    assert list(samples(text, {"m"})) == [
        ("m", {"a": 'x"y\\z\n', "b": "with } and , and #"}, 1500.0),
        ("m", {}, 2.0),
        ("m", {}, 3.0),
        ("m", {"a": "1"}, float("inf")),
        ("m", {"a": "1"}, 4.0),
    ]


LABELS = st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True), st.text())


@given(
    labels=LABELS,
    value=st.floats(allow_nan=False, allow_infinity=False),
)
def test_whatever_is_written_is_read_back(labels: dict[str, str], value: float) -> None:
    def escaped(text: str) -> str:
        return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    inner = ",".join(f'{name}="{escaped(text)}"' for name, text in labels.items())
    line = f"m{{{inner}}} {value!r}"
    assert list(samples(line, {"m"})) == [("m", labels, value)]
