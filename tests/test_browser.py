"""The pages in a real browser, opened as files: nothing hostile runs and nothing is fetched."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import page_samples as samples
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from runbook import page
from runbook.show import MEDIA_TYPE

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-proxy-server"),
)
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
WORSE = f"</script><script>document.title='owned'</script><!--<script>{HOSTILE}"
LONG = "a-name-" + "that-does-not-break" * 6
RUN = samples.run(samples.step("00-preflight"))["run"]

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs the Debian packages chromium and chromium-driver"
)


@dataclass(frozen=True)
class Browser:
    """A browser that remembers what the page it shows asked for and complained about."""

    driver: webdriver.Chrome

    def open(self, path: Path, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.requests(), self.complaints()
        self.driver.get(path.as_uri() + fragment)

    def run(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def requests(self) -> set[str]:
        messages = [json.loads(entry["message"]) for entry in self.driver.get_log("performance")]
        events = [entry["message"] for entry in messages]
        return {
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        }

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def width(self, pixels: int) -> None:
        size = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": pixels < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def shown_runs(self) -> list[str]:
        found = self.run(
            "[...document.querySelectorAll('#rows tr')].filter(row => row.checkVisibility())"
            ".map(row => row.querySelector('small').textContent)"
        )
        return list(found)

    def choose(self, name: str, value: str) -> None:
        Select(self.find(f"[name={name}]")).select_by_visible_text(value)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "localhost")  # where the driver listens
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        driver.set_page_load_timeout(60)
        yield Browser(driver)
        driver.quit()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the pages of an archive in which every text from outside is hostile."""
    site = tmp_path_factory.mktemp("outputs")
    run = hostile_run()
    directory = site / run["run"]
    directory.mkdir()
    (site / "index.html").write_text(page.archive(summaries()), encoding="utf-8")
    (directory / "index.html").write_text(page.index(run), encoding="utf-8")
    html = page.notebook(hostile_notebook(), run=run, name="12-identity-issuer")
    (directory / "12-identity-issuer.html").write_text(html, encoding="utf-8")
    return site


def hostile_run() -> dict[str, Any]:
    wrong = samples.error(HOSTILE, name=HOSTILE, why=WORSE, fix=HOSTILE, see=f"https://x/{WORSE}")
    fields = ("expected", "seen", "why", "fix", "see", "linkerd")
    checks = [samples.check(HOSTILE, "fail", **dict.fromkeys(fields, WORSE))]
    measure = {"name": HOSTILE, "value": 1.5, "unit": WORSE, "low": 1, "high": 2, "n": 3}
    run = samples.run(
        samples.step(
            "12-identity-issuer",
            "failed",
            title=HOSTILE,
            checks=checks,
            error=wrong,
            undo=[HOSTILE, WORSE, LONG],
            measures=[measure],
        ),
        samples.step(
            "13-trust-anchor",
            attempt=2,
            earlier=[samples.earlier("13-trust-anchor", "failed", wrong)],
        ),
        status="failed",
        line=WORSE,
        mode=HOSTILE,
        parameters={HOSTILE: WORSE, "values": {HOSTILE: [WORSE, LONG]}, "cluster": LONG},
        commit={"id": HOSTILE, "changed": True},
        versions={HOSTILE: WORSE},
        attempts=[samples.attempt(1, "failed"), samples.attempt(2)],
    )
    run["cluster"] = {"name": WORSE, "uid": HOSTILE, "version": HOSTILE, "rehearsal": True}
    run["attempts"] = run["attempts"][:1]
    return run


def hostile_notebook() -> dict[str, Any]:
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{WORSE}</svg>'
    html = (
        f"{WORSE}<meta http-equiv='refresh' content='0;url=https://example.com/'>"
        "<link rel='preconnect' href='https://example.com'><base href='https://example.com/'>"
        "<style>body{display:none} @import 'https://example.com/a.css'</style>"
        f"<iframe src='https://example.com'></iframe>{HOSTILE}</div></main></body><plaintext>"
    )
    return samples.executed(
        samples.words(f"# Title\n\n[13](13-trust-anchor.ipynb) {HOSTILE}\n\n{WORSE}"),
        samples.code(source=WORSE, tags=("injected-parameters",)),
        samples.code(samples.table((HOSTILE, WORSE, LONG), title=HOSTILE)),
        samples.code(samples.stream(f"{HOSTILE}{LONG}\n"), samples.stream(WORSE, "stderr")),
        samples.code(samples.shown({"text/plain": WORSE})),
        samples.code(samples.shown({"text/html": html, "text/plain": "plain"})),
        samples.code(samples.shown({"text/markdown": WORSE, "text/plain": "plain"})),
        samples.code(samples.shown({"image/svg+xml": svg})),
        samples.code(samples.shown({"application/javascript": "document.title='owned'"})),
        samples.code(samples.traceback(HOSTILE, WORSE)),
        samples.code(samples.stream("a line of a long log\n" * 3000)),
    )


def summaries() -> list[dict[str, Any]]:
    return [
        samples.summary(RUN, cluster="pi", text="issuer renewed"),
        samples.summary("20261123-000000-pi-aaaa", "failed", text="issuer missing"),
        samples.summary("20261122-000000-lab-bbbb", cluster="lab", line="stable-2.14"),
        samples.summary("20261121-000000-lab-cccc", "check-failed", cluster="lab", mode="verify"),
        samples.summary("20261120-000000-x-dddd", cluster=WORSE, line=HOSTILE, problem=WORSE),
        samples.summary(f"20261119-000000-{LONG}", cluster=LONG, rehearsal=True),
        {"run": "20261118-000000-pi-eeee", "readable": False},
    ]


PAGES = ("index.html", f"{RUN}/index.html", f"{RUN}/12-identity-issuer.html")


@pytest.mark.parametrize("name", PAGES)
def test_page_fetches_nothing_and_complains_of_nothing(
    browser: Browser, site: Path, name: str
) -> None:
    browser.open(site / name)
    asked = browser.requests()
    assert (site / name).as_uri() in asked
    assert {url for url in asked if not url.startswith("data:")} == {(site / name).as_uri()}
    assert browser.complaints() == []


@pytest.mark.parametrize("name", PAGES)
def test_hostile_names_are_text(browser: Browser, site: Path, name: str) -> None:
    browser.open(site / name)
    assert "owned" not in browser.driver.title.replace(HOSTILE, "").replace(WORSE, "")
    assert browser.run("document.querySelectorAll('img[src=x], [onerror]').length") == 0
    assert (
        browser.run("document.querySelectorAll('meta[http-equiv=refresh], base, iframe').length")
        == 0
    )
    said = browser.run("document.body.innerText")
    assert HOSTILE in said
    assert WORSE in said


def test_every_place_of_the_run_page_shows_the_hostile_name(browser: Browser, site: Path) -> None:
    browser.open(site / PAGES[1])
    said = browser.run("document.body.innerText")
    assert said.count(HOSTILE) >= 14
    assert browser.find("h1").text.count(WORSE) == 2


def test_foreign_html_cannot_hide_what_follows(browser: Browser, site: Path) -> None:
    browser.open(site / PAGES[2])
    assert browser.find("footer").is_displayed()
    assert browser.find(".badge.rehearsal").is_displayed()
    assert "lines are left out here" in browser.find(".cut").text
    assert browser.find(".output.image img").get_attribute("src").startswith("data:image/svg+xml")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_window(browser: Browser, site: Path, name: str, width: int) -> None:
    browser.width(width)
    browser.open(site / name)
    assert browser.run("innerWidth") == width
    room = browser.run("document.documentElement.clientWidth")  # without a scroll bar
    assert browser.run("document.documentElement.scrollWidth") == room


@pytest.mark.parametrize("name", PAGES)
def test_page_can_be_printed(browser: Browser, site: Path, name: str) -> None:
    browser.open(site / name)
    printed = browser.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    pdf = base64.b64decode(printed["data"])
    assert pdf.startswith(b"%PDF-")
    assert re.search(rb"/Type\s*/Page\b(?!s)", pdf)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    folded = browser.driver.find_elements(By.CSS_SELECTOR, "details.code, .controls")
    assert not any(element.is_displayed() for element in folded)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_search_wants_every_word_and_gives_all_back(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html")
    everything = browser.shown_runs()
    assert everything[0] == RUN
    assert len(everything) == 7
    search = browser.find("[name=q]")
    search.send_keys("Issuer")
    assert browser.shown_runs() == [RUN, "20261123-000000-pi-aaaa"]
    search.send_keys(" missing")
    assert browser.shown_runs() == ["20261123-000000-pi-aaaa"]
    assert browser.find("#count").text == "1 of 7 runs"
    search.send_keys(" nowhere", Keys.ENTER)
    assert browser.shown_runs() == []
    assert browser.find("#empty").is_displayed()
    assert not browser.find("table").is_displayed()
    browser.find("button[type=reset]").click()
    WebDriverWait(browser.driver, 20).until(lambda _: browser.shown_runs())  # in a task of its own
    assert browser.shown_runs() == everything
    assert browser.find("#count").text == "7 of 7 runs"
    assert browser.run("location.hash") in ("", "#")


def test_filters_narrow_together(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html")
    browser.choose("cluster", "lab")
    assert browser.shown_runs() == ["20261122-000000-lab-bbbb", "20261121-000000-lab-cccc"]
    browser.choose("status", "check failed")
    assert browser.shown_runs() == ["20261121-000000-lab-cccc"]
    browser.choose("status", "any")
    browser.choose("line", "stable-2.14")
    assert browser.shown_runs() == ["20261122-000000-lab-bbbb"]
    browser.choose("line", "any")
    browser.choose("cluster", WORSE)
    assert browser.shown_runs() == ["20261120-000000-x-dddd"]


def test_address_brings_the_view_back(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html")
    browser.find("[name=q]").send_keys("20261121 cccc")
    browser.choose("mode", "verify")
    address = browser.driver.current_url
    assert address.endswith("#q=20261121+cccc&mode=verify")
    browser.open(site / "index.html", address.partition("index.html")[2])
    assert browser.shown_runs() == ["20261121-000000-lab-cccc"]
    assert browser.find("[name=q]").get_attribute("value") == "20261121 cccc"
    assert browser.find("[name=mode]").get_attribute("value") == "verify"
    browser.run("location.hash = '#cluster=gone'")
    assert browser.shown_runs() == []
    assert browser.find("[name=cluster]").get_attribute("value") == "gone"


def test_controls_have_names_and_an_order_for_the_keyboard(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html")
    names = []
    for _ in range(7):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        names.append(browser.driver.switch_to.active_element.accessible_name)
    assert names == ["Search", "Status", "Cluster", "Line", "Mode", "Show all", "pi"]


def test_runs_link_to_their_pages(browser: Browser, site: Path) -> None:
    browser.open(site / "index.html")
    browser.find("#rows a").click()
    assert browser.driver.current_url == (site / PAGES[1]).as_uri()
    browser.driver.find_element(By.LINK_TEXT, "12-identity-issuer").click()
    assert browser.driver.current_url == (site / PAGES[2]).as_uri()
    browser.driver.find_element(By.LINK_TEXT, RUN).click()
    browser.driver.find_element(By.LINK_TEXT, "All runs").click()
    assert browser.driver.current_url == (site / "index.html").as_uri()


def test_archive_without_runs_says_so(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(page.archive([]), encoding="utf-8")
    browser.open(tmp_path / "index.html")
    assert "There is no run yet." in browser.find("#empty").text
    assert not browser.find("form").is_displayed()


def test_a_thousand_runs_are_searched(browser: Browser, tmp_path: Path) -> None:
    many = [samples.summary(f"2026-{n:04}", text=f"number{n:04} " * 50) for n in range(1000)]
    (tmp_path / "index.html").write_text(page.archive(many), encoding="utf-8")
    browser.open(tmp_path / "index.html")
    assert browser.find("#count").text == "1000 of 1000 runs"
    browser.find("[name=q]").send_keys("number0777")
    assert browser.shown_runs() == ["2026-0777"]


def test_the_policy_stops_what_would_slip_through(browser: Browser, tmp_path: Path) -> None:
    """Show that the browser would notice: HTML that is trusted by mistake stays inert."""
    html = f"{HOSTILE}<script>document.title='owned'</script>"
    trusted = samples.shown({"text/html": html, "text/plain": "p", MEDIA_TYPE: {"type": "x"}})
    run = samples.run(samples.step("00-preflight"))
    made = page.notebook(samples.executed(samples.code(trusted)), run=run, name="00-preflight")
    (tmp_path / "00-preflight.html").write_text(made, encoding="utf-8")
    browser.open(tmp_path / "00-preflight.html")
    assert browser.driver.title == f"00-preflight · {RUN}"
    assert len([said for said in browser.complaints() if "Content Security Policy" in said]) >= 2
    loose = made.replace("Content-Security-Policy", "X-None")
    (tmp_path / "loose.html").write_text(loose, encoding="utf-8")
    browser.open(tmp_path / "loose.html")
    assert browser.driver.title == "owned"
