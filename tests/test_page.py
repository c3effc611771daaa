"""The pages of the archive: what they say, where their links lead, what they keep out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import page_samples as samples
import pytest

from runbook import page

HOSTILE = "</script><img src=x onerror=alert(1)>&\u2028'\""


def book(run: dict[str, Any], name: str, *cells: dict[str, Any]) -> str:
    return page.notebook(samples.executed(*cells), run=run, name=name)


def text_of(html: str) -> str:
    """Give what a reader sees of a page, roughly."""
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


def every_page() -> dict[str, str]:
    """Give pages of each kind, by where they are in the directory of all runs."""
    run = samples.resumed()
    pages = {"index.html": page.archive([samples.summary(run["run"])])}
    pages[f"{run['run']}/index.html"] = page.index(run)
    first = {**run, "attempts": run["attempts"][:1], "status": "failed"}
    first["steps"] = [
        samples.step("10-cert-manager-ca"),
        samples.step("11-linkerd-namespace"),
        samples.step("12-identity-issuer", "failed", error=samples.error("not issued")),
        samples.step("13-trust-anchor", "not-run"),
    ]
    words = samples.words("see [12](12-identity-issuer.ipynb)")
    for number, state in ((1, first), (2, run)):
        for step in state["steps"]:
            if step["status"] != "not-run":
                name = step["notebook"]
                place = samples.files(name, number)["html"]
                pages[f"{run['run']}/{place}"] = book(state, name, words)
    return pages


@pytest.mark.parametrize("name", every_page())
def test_page_may_load_nothing(name: str) -> None:
    html = every_page()[name]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#39;", "'").split("; "))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert rules.pop("default-src") == rules.pop("base-uri") == rules.pop("form-action") == "'none'"
    assert rules.pop("style-src") == "'unsafe-inline'"
    assert rules.pop("img-src") == "data:"
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules == ({"script-src": f"'sha256-{digests[0]}'"} if digests else {})
    assert len(scripts) == (name == "index.html")
    assert html.index("Content-Security-Policy") < html.index("<title>")


def test_links_lead_to_pages_that_exist(tmp_path: Path) -> None:
    pages = every_page()
    kept = [name.replace(".html", ".ipynb") for name in pages]
    for name in (*pages, *kept, f"{samples.resumed()['run']}/result.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    seen = 0
    for name, html in pages.items():
        for link in re.findall(r'<a [^>]*?href="([^"#][^"]*)"', html):
            assert (tmp_path / name).parent.joinpath(link).is_file(), f"{name}: {link}"
            seen += 1
    assert seen > 30


def test_page_of_a_later_attempt_leads_out_of_its_directory() -> None:
    html = every_page()[f"{samples.resumed()['run']}/attempt-2/12-identity-issuer.html"]
    assert '<a href="../index.html">' in html
    assert '<a class="push" href="11-linkerd-namespace.html" rel="prev">' in html
    assert 'see <a href="12-identity-issuer.html">12</a>' in html
    assert 'Attempt 1 of this notebook ended <a href="../12-identity-issuer.html">failed</a>' in (
        re.sub(r"\s+", " ", html)
    )
    assert "attempt 2" in text_of(html)


def test_page_of_a_proof_leads_to_what_was_done() -> None:
    run = samples.resumed()
    html = book(run, "10-cert-manager-ca")
    assert '<a href="../10-cert-manager-ca.html">What it did</a> is with attempt 1.' in html
    assert "What it did" not in book(run, "12-identity-issuer")


def test_proof_that_failed_does_not_show_the_error_of_the_step() -> None:
    proof = {"attempt": 2, "status": "check-failed", "files": samples.files("00-preflight", 2)}
    step = samples.step("00-preflight", error=samples.error("of the step"), proofs=[proof])
    run = samples.run(step, attempts=[samples.attempt(1), samples.attempt(2, "running")])
    html = book(run, "00-preflight")
    assert '<span class="badge check-failed">check failed</span>' in html
    assert "of the step" not in html


def test_run_shows_what_each_attempt_did() -> None:
    html = page.index(samples.resumed())
    said = text_of(html.partition("Attempts")[2].partition("<h2>")[0].replace("</h2>", "<body>"))
    assert "10-cert-manager-ca ok ok , proved again" in said
    assert "11-linkerd-namespace ok ok , run again: it was no longer as it should be" in said
    assert "12-identity-issuer failed WaitError: Certificate linkerd-identity-issuer" in said
    assert "in 120 s ok , run again 13-trust-anchor ok" in said
    assert '<a href="attempt-2/10-cert-manager-ca.html">ok</a>' in html


def test_run_of_one_attempt_speaks_of_no_attempts() -> None:
    assert "Attempt" not in page.index(samples.run(samples.step("00-preflight")))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("failed", "To go on once that is mended: runbook resume 20261124-201703-pi-5118"),
        ("check-failed", "To go on once that is mended: runbook resume"),
        ("interrupted", "The run was interrupted. To go on: runbook resume"),
        ("running", "the run was killed: runbook resume 20261124-201703-pi-5118 goes on"),
    ],
)
def test_run_says_how_to_go_on(status: str, said: str) -> None:
    html = page.index(samples.run(samples.step("00-preflight", status), status=status))
    assert said in text_of(html).replace(" .", ".").replace("  ", " ")


def test_run_that_is_done_needs_no_resuming() -> None:
    assert "resume" not in page.index(samples.run(samples.step("00-preflight")))


def test_run_that_was_killed_has_no_exit_status() -> None:
    html = page.index(samples.run(samples.step("00-preflight", "running"), status="running"))
    assert "still running, or ended without a word" in html


def test_step_without_a_page_links_to_what_there_is() -> None:
    killed = samples.step("00-preflight", "interrupted", files={"notebook": "00-preflight.ipynb"})
    run = samples.run(killed, samples.step("13-trust-anchor", "not-run"), status="interrupted")
    html = page.index(run)
    assert '<a href="00-preflight.ipynb">00-preflight</a>' in html
    assert "13-trust-anchor</a>" not in html


def test_errors_stand_on_top_of_the_run_and_of_the_notebook() -> None:
    wrong = samples.error("not issued", why="CA is gone", fix="run 10", see="https://linkerd.io/x")
    run = samples.run(samples.step("12-identity-issuer", "failed", error=wrong), status="failed")
    for html in (page.index(run), book(run, "12-identity-issuer")):
        said = text_of(html)
        assert "WaitError not issued Why: CA is gone What to do: run 10 See:" in said
        assert '<a href="https://linkerd.io/x" rel="noopener">https://linkerd.io/x</a>' in html


def test_warnings_and_failures_are_worth_reading() -> None:
    checks = [
        samples.check("clock", "warn", expected="0 s off", seen="3 s off", fix="start chrony"),
        samples.check("nodes are ready"),
    ]
    html = page.index(samples.run(samples.step("00-preflight", checks=checks)))
    said = text_of(html.partition("Worth reading")[2].partition("<h2>")[0].join(("<body>", "")))
    assert "warn clock 00-preflight 0 s off 3 s off start chrony" in said
    assert "nodes are ready" not in said


def test_measures_are_listed_with_their_interval() -> None:
    measures = [
        {"name": "p99", "value": 12.3456, "unit": "ms", "low": 11.9, "high": 12.8, "n": 3000},
        {"name": "memory", "value": 4194304, "unit": "B", "low": None, "high": None, "n": None},
    ]
    said = text_of(page.index(samples.run(samples.step("00-preflight", measures=measures))))
    assert "p99 00-preflight 12.35 ms 11.9 to 12.8 3,000" in said
    assert "memory 00-preflight 4,194,304 B" in said
    assert "Measures" not in page.index(samples.run(samples.step("00-preflight")))


@pytest.mark.parametrize("rehearsal", [True, False])
def test_rehearsal_says_so_on_every_page(rehearsal: bool) -> None:
    run = samples.run(samples.step("00-preflight"))
    run["cluster"]["rehearsal"] = rehearsal
    summary = samples.summary(run["run"], rehearsal=rehearsal)
    for html in (page.index(run), book(run, "00-preflight")):
        assert (">REHEARSAL<" in html) == rehearsal
    assert rows_of(page.archive([summary]))[0]["rehearsal"] == rehearsal


def test_image_cannot_leave_its_attribute() -> None:
    run = samples.run(samples.step("00-preflight"))
    image = samples.shown({"image/png": HOSTILE}, **{"image/png": {"alt": HOSTILE}})
    html = book(run, "00-preflight", samples.code(image))
    images: list[dict[str, str | None]] = []

    class Images(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            images.extend([dict(attrs)] if tag == "img" else [])

    Images().feed(html)
    assert [(sorted(found), found["alt"]) for found in images] == [(["alt", "src"], HOSTILE)]


def test_half_a_character_does_not_break_a_page() -> None:
    run = samples.run(samples.step("00-preflight", error=samples.error("odd \ud83d name")))
    for html in (page.index(run), book(run, "00-preflight")):
        assert "odd ? name" in html.encode().decode()


def rows_of(html: str) -> list[dict[str, Any]]:
    (data,) = re.findall(r'<script type="application/json" id="runs">(.*?)</script>', html)
    rows: list[dict[str, Any]] = json.loads(data)
    return rows


def test_archive_lists_the_newest_first() -> None:
    names = ["20260101-000000-pi-aaaa", "20261124-201703-pi-5118", "20260301-000000-pi-bbbb"]
    rows = rows_of(page.archive([samples.summary(name) for name in names]))
    assert [row["run"] for row in rows] == [names[1], names[2], names[0]]


def test_archive_shows_where_a_run_ended() -> None:
    steps = [
        {"notebook": "00-preflight", "status": "ok"},
        {"notebook": "12-identity-issuer", "status": "failed"},
        {"notebook": "13-trust-anchor", "status": "not-run"},
    ]
    made = samples.summary("a", "failed", steps=steps, problem="WaitError: late")
    (row,) = rows_of(page.archive([made]))
    assert (row["status"], row["at"]) == ("failed", "12-identity-issuer")
    assert row["problem"] == "WaitError: late"
    assert (row["started"], row["took"]) == ("2026-11-24 20:17", "24.1 s")


def test_archive_searches_the_given_text_and_what_it_shows() -> None:
    text = "12-identity-issuer\tissuer\tissuer x\n\tok"
    (row,) = rows_of(page.archive([samples.summary("RUN-1", cluster="Pi", text=text)]))
    assert row["text"] == "run-1 ok apply edge-2.20 pi 12-identity-issuer issuer x"


def test_archive_lists_a_run_it_could_not_read() -> None:
    (row,) = rows_of(page.archive([{"run": "20260101-000000-pi-aaaa", "readable": False}]))
    assert (row["status"], row["started"], row["took"], row["checks"]) == ("unreadable", "", "", {})


def test_archive_keeps_its_data_within_its_element() -> None:
    html = page.archive([samples.summary("a", cluster=HOSTILE, text=HOSTILE)])
    (row,) = rows_of(html)
    assert row["cluster"] == HOSTILE
    assert html.count("<script") == html.count("</script>") == 2
    assert "<img" not in html
    assert "\u2028" not in html


def test_archive_is_made_without_a_template_engine() -> None:
    program = """
import sys
from runbook import page
page.archive([])
print(sorted({"jinja2", "mistune", "nh3", "nbformat"} & set(sys.modules)))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"


def test_archive_script_writes_text_only() -> None:
    script = (Path(page.__file__).parent / "templates" / "archive.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)
