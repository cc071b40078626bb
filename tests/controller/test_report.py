# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: what it says, that nothing of a host gets out of its quotes, and how it looks in a browser.

The page is opened in Debian's chromium through chromium-driver. WebDriver is JSON over HTTP, so nothing else is needed.
Screenshots of every example stay in build/report/ of the checkout.
"""

import base64
import copy
import html.parser
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import urllib.request

import jsonschema
import pytest
from ansible.errors import AnsibleFilterError

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "plugins" / "filter")]

import report as plugin  # noqa: E402

from lab import apt  # noqa: E402

RUNS = {path.stem: path for path in sorted((REPO / "tests" / "fixtures" / "runs").glob("*.json"))}
TEMPLATE = REPO / "roles" / "common" / "templates" / "report.html.j2"
SCHEMA = json.loads((REPO / "roles" / "common" / "files" / "report.schema.json").read_text())
NOW = "2026-11-25T08:00:00Z"
# the tests run from a copy of the checkout in its build/ folder; artefacts go beside that copy, which the next run removes
CHECKOUT = next((parent.parent for parent in REPO.parents if parent.name == "build"), REPO)
SHOTS = CHECKOUT / "build" / "report"


def load(name):
    return json.loads(RUNS[name].read_text())


def page_of(document, now=NOW):
    return plugin.report(document, TEMPLATE, now)


class Text(html.parser.HTMLParser):
    """The tags of a page, and its text outside of the style sheet."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        if self.tags[-1:] != ["style"]:
            self.words.append(data)


# --- the schema -------------------------------------------------------------------------------------------------------


def errors(document):
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", RUNS)
def test_examples_fit_the_schema(name):
    assert errors(load(name)) == []


def change(path, value):
    """The example of four reboots with one place changed; DROP removes it."""
    document = load("done-article")
    place = document
    for key in path[:-1]:
        place = place[key]
    if value == "DROP":
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize("path, value", [
    (["schema"], 2), (["schema"], "DROP"), (["run_id"], "../../etc/cron.d/x"), (["host"], ""), (["strategy"], "hope"), (["status"], "fine"),
    (["message"], None), (["next"], "DROP"), (["started_at"], "2026-11-24 22:03"), (["started_at"], None), (["ended_at"], "soon"),
    (["window"], "23:00-05:00"), (["window", "timezone"], "DROP"), (["before"], []), (["before", "facts"], "DROP"),
    (["before", "facts", "verdict"], "sick"), (["before", "facts", "evidence"], "one"), (["after", "services"], []), (["after"], "DROP"),
    (["snapshot", "method"], "hope"), (["snapshot", "keep_days"], -1), (["files", 0], "/etc/default/grub"), (["files", 0, "backup"], "DROP"),
    (["stages", 0, "status"], "ok"), (["stages", 0, "title"], "DROP"), (["stages", 0, "changes"], [1]), (["stages", 0, "surprise"], 1),
    (["stages", 0, "reboots", 0, "downtime_s"], "16"), (["stages", 0, "reboots", 0, "downtime_s"], -1), (["surprise"], 1),
], ids=str)  # fmt: skip
def test_documents_with_errors_do_not_fit(path, value):
    assert errors(change(path, value))


# --- what the page says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_every_stage_and_all_evidence_is_on_the_page(name):
    document = plugin.clean(load(name))
    text = Text(page_of(document)).text
    said = [document["message"], document["host"]]
    for stage in document["stages"]:
        said += [stage["title"], *stage["changes"], *stage["evidence"]]
    for side in filter(None, (document["before"], document["after"])):
        said += [*side["facts"]["evidence"], *side["services"].get("repaired", []), *side["services"].get("problems", [])]
    said += [entry["path"] for entry in document["files"]] + [entry["backup"] for entry in document["files"] if entry["backup"]]
    said += document["next"].split("\n")
    assert [words for words in said if re.sub(r"\s+", " ", words).strip() not in text] == []


@pytest.mark.parametrize("name", RUNS)
def test_the_page_is_self_contained_and_nothing_of_the_host_gets_out_of_its_quotes(name):
    page = page_of(load(name))
    found = Text(page)
    assert not {"script", "img", "iframe", "link", "a", "object", "form", "svg"} & set(found.tags)
    assert {key for _tag, key, _value in found.attributes if key.startswith("on") or key in ("src", "href")} == set()
    styles = [value for _tag, key, value in found.attributes if key == "style"]
    assert all(re.fullmatch(r"(left:[\d.]+%;?)?(width:[\d.]+%)?|margin-top:.9rem", value) for value in styles)
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'") in found.attributes
    assert not plugin.STEERING.search(page) and not re.search(r"url\(|@import|https?://(?!127\.0\.0\.1)", page)


def hostile(value, text):
    """VALUE with TEXT in the place of every text, the names of things included where they are data."""
    if isinstance(value, dict):
        return {key: hostile(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, text) for item in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize("text", [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 191 }}{% raw %}", "</style><script>", "\x1b[2J\u202e", "", " ", "\n",
])  # fmt: skip
def test_a_text_in_every_place_stays_a_text(text):
    document = hostile(load("done-article"), text)
    document["before"]["services"]["units"] = {text: {"state": text}}
    page = page_of(document)
    assert not {"script", "img"} & set(Text(page).tags) and "1337" not in page and "\x1b" not in page and "\u202e" not in page
    summary = plugin.report_summary(document, NOW)
    assert not any(plugin.STEERING.search(line) or "\n" in line for line in summary)


@pytest.mark.parametrize("value", [
    None, 1, -1, 10**30, "x", True, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", [], {},
    [None, 1, "x", {}, []], {"facts": 1, "services": [], "stages": None},
])  # fmt: skip
def test_any_part_may_be_missing_or_of_another_kind(value):
    document = load("done-article")

    def places(part, path=()):
        for key, item in part.items() if isinstance(part, dict) else enumerate(part):
            yield (*path, key)
            if isinstance(item, (dict, list)):
                yield from places(item, (*path, key))

    for path in places(document):
        if path == ("schema",):
            continue
        for drop in (False, True):
            broken = copy.deepcopy(document)
            place = broken
            for key in path[:-1]:
                place = place[key]
            if drop:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            plugin.model(broken, NOW)
            if len(path) == 1:
                page_of(broken)
                plugin.report_summary(broken, NOW)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"schema": 2}])
def test_another_document_is_refused(document):
    with pytest.raises(AnsibleFilterError, match="not the document of a run"):
        page_of(document)
    assert plugin.report_summary(document) == [
        "There is nothing to show in short: this is not the document of a run (schema 1), no report can be made of it."
    ]


def test_a_broken_template_is_an_error_that_names_it(tmp_path):
    (tmp_path / "broken.j2").write_text("{{ nothing_of_the_kind }}")
    for name in ("broken.j2", "none.j2"):
        with pytest.raises(AnsibleFilterError, match=f"cannot be made with .*{name}"):
            plugin.report(load("bare"), tmp_path / name)


@pytest.mark.parametrize("name, now, words", [
    ("done-article", "2026-11-25T08:00:00Z", "Keep the snapshot vg0/root-el7ops until Fri 27 Nov 2026, 23:13, then remove it."),
    ("done-article", "2026-11-26T23:00:00Z", "Remove the snapshot vg0/root-el7ops after Fri 27 Nov 2026, 23:13: its 3 days are nearly over."),
    ("done-article", "2026-11-28T08:00:00Z", "Remove the snapshot vg0/root-el7ops now: its 3 days were over on Fri 27 Nov 2026, 23:13."),
    ("failed-update", "2026-11-28T08:00:00Z", "This run is not finished: finish it or roll it back first, then remove the snapshot."),
])  # fmt: skip
def test_the_snapshot_is_reminded_of(name, now, words):
    assert words in Text(page_of(load(name), now)).text
    assert any(words in line for line in plugin.report_summary(load(name), now))


def test_an_older_state_is_never_shown_as_the_one_after():
    for name in ("failed-update", "cut-off", "paused-second-night", "failed-first-stage", "bare"):
        run = plugin.model(load(name), NOW)
        assert run["verdict_after"] is None and not any(row["after"] for row in [*run["rows"], *run["services"]])
        assert "protected" not in " ".join(plugin.report_summary(load(name), NOW)).partition("Next")[0]


def test_summary_says_the_same_in_short():
    lines = plugin.report_summary(load("done-article"), NOW)
    assert lines[0] == "web1: DONE. Verdict: leaking -> not affected."
    assert "4 reboots, 7 min 31 s until the host answered again, 1 h 01 min in all." in lines[2]
    assert "  done         Update all packages: 23:14, 22 min, 1 reboot (2 min 11 s)" in lines
    assert "  Running kernel: 3.10.0-1127.el7.x86_64 -> 6.9.7-1.el7.elrepo.x86_64" in lines
    assert plugin.report_summary(load("rolled-back"), NOW)[0] == "web1: ROLLED BACK. Verdict: leaking -> active."
    assert any(line.startswith("  SERVICE PROBLEM: Container worker restarts") for line in plugin.report_summary(load("rolled-back"), NOW))
    assert plugin.report_summary(load("bare"), NOW)[0] == "web1: FAILED. Verdict: not read."


def test_a_run_of_two_nights_keeps_its_bars_in_order_and_says_what_was_left_out():
    run = plugin.model(load("paused-second-night"), NOW)
    assert [gap["label"] for gap in run["breaks"]] == ["24 h 00 min"]
    bars = [(float(stage["bar"]["left"]), float(stage["bar"]["width"])) for stage in run["stages"] if stage["bar"]]
    assert bars == sorted(bars) and all(0 <= left and left + width <= 100.01 for left, width in bars)


# --- written by Ansible -----------------------------------------------------------------------------------------------

# a host that is never reached, with settings that must not be taken for the controller's
INVENTORY = "web1 ansible_host=192.0.2.1 ansible_python_interpreter=/nonexistent ansible_become=true ansible_become_user=nobody\n"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - ansible.builtin.fail:
            msg: THE RUN ITSELF FAILED
          when: fails | default(false) | bool
      always:
        - ansible.builtin.include_role:
            name: el7ops.kmem.common
            tasks_from: report
          vars:
            common_report_document: "{{ lookup('ansible.builtin.file', document) | from_json }}"
        - ansible.builtin.debug:
            msg: "RESULT {{ common_report_result | to_json }}"
"""


def ansible(tmp_path, *arguments, play="play.yml", inventory="hosts"):
    """ansible-playbook in a directory of its own, as an admin types it: PWD says where."""
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts").write_text(INVENTORY)
    return subprocess.run(["ansible-playbook", "-i", inventory, play, *arguments], cwd=tmp_path, env=dict(os.environ, PWD=str(tmp_path)),
                          check=False, capture_output=True, text=True, timeout=120)  # fmt: skip


def result_of(done):
    return json.loads(re.search(r"RESULT (\{.*\})", done.stdout).group(1).replace("\\'", "'"))


def test_ansible_writes_page_and_document_below_where_it_was_started(tmp_path):
    done = ansible(tmp_path, "-e", f"document={RUNS['hostile']}", "--diff")
    assert done.returncode == 0, done.stdout
    reports = tmp_path / "el7ops-kmem-reports"
    page, document = (reports / f"web1-20261124T220312Z.{kind}" for kind in ("html", "json"))
    # what looks like a template in a host's text is none
    assert "1337" not in page.read_text() + document.read_text() and "{{ 7 * 191 }}" in page.read_text()
    assert json.loads(document.read_text()) == load("hostile")
    assert [oct(path.stat().st_mode)[-3:] for path in (reports, page, document)] == ["700", "600", "600"]
    assert f"Report: {page}" in done.stdout and "DONE. Verdict: leaking" in done.stdout and "<!DOCTYPE" not in done.stdout


def test_names_from_the_host_stay_in_the_directory(tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(dict(load("bare"), run_id="../../escaped", host="../web1")))
    done = ansible(tmp_path, "-e", f"document={kept}", "-e", "common_report_dir=reports")
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["web1-.._.._escaped.html", "web1-.._.._escaped.json"]


def test_check_mode_writes_nothing_and_says_the_same(tmp_path):
    done = ansible(tmp_path, "-e", f"document={RUNS['done-article']}", "--check")
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "el7ops-kmem-reports").exists()
    assert "web1: DONE. Verdict: leaking -> not affected." in done.stdout and "in check mode no report is written" in done.stdout


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("case", ["written", "no directory", "no document"])
def test_a_report_changes_no_outcome(tmp_path, case, fails):
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(dict(load("failed-update"), schema=7)))
    where = "/dev/null/reports" if case == "no directory" else tmp_path / "reports"
    document = broken if case == "no document" else RUNS["failed-update"]
    done = ansible(tmp_path, "-e", f"document={document}", "-e", f"common_report_dir={where}", "-e", f"fails={fails}")
    assert (done.returncode == 2) == fails, done.stdout
    assert ("THE RUN ITSELF FAILED" in done.stdout) == fails
    assert ("THE REPORT WAS NOT WRITTEN" in done.stdout) == (case != "written")
    assert ("-e common_report_dir=DIR" in done.stdout) == (case != "written")


def test_the_playbook_makes_the_report_again_from_a_kept_document(tmp_path):
    arguments = ["-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
    done = ansible(tmp_path, *arguments, "-e", f"kmem_run_file={RUNS['rolled-back']}", play="el7ops.kmem.report", inventory="localhost,")
    assert done.returncode == 0, done.stdout
    assert "ROLLED BACK" in (done.stdout) and (tmp_path / "el7ops-kmem-reports" / "localhost-20261124T220312Z.html").exists()
    done = ansible(tmp_path, *arguments, "-e", "kmem_run_file=/nonexistent/run.json", play="el7ops.kmem.report", inventory="localhost,")
    assert done.returncode == 2 and "No run is recorded on localhost" in done.stdout
    arguments += ["-e", f"kmem_run_file={RUNS['bare']}", "-e", "common_report_dir=/dev/null/x"]
    done = ansible(tmp_path, *arguments, play="el7ops.kmem.report", inventory="localhost,")
    assert done.returncode == 2 and "THE REPORT WAS NOT WRITTEN" in done.stdout


# --- in a browser -----------------------------------------------------------------------------------------------------


class Browser:
    """Headless Chromium, driven by W3C WebDriver."""

    def __init__(self, folder):
        self.log = open(folder / "chromedriver.log", "w+", encoding="utf-8")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=self.log, stderr=subprocess.STDOUT, env=dict(os.environ, HOME=str(folder)))
        options = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}", "--no-first-run"]
        if os.geteuid() == 0:
            # Chromium's sandbox cannot be made by root, and CI containers run as root; the only pages opened are our own
            options.append("--no-sandbox")
        try:
            self.base = f"http://127.0.0.1:{self.port()}/session"
            capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": options},
                            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}  # fmt: skip
            self.base += "/" + self.call("", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        except BaseException:
            self.driver.kill()
            raise

    def port(self):
        """The port that the driver says it listens on."""
        for _attempt in range(300):
            found = re.search(r"started successfully on port (\d+)", pathlib.Path(self.log.name).read_text(encoding="utf-8"))
            if found:
                return found.group(1)
            assert self.driver.poll() is None, pathlib.Path(self.log.name).read_text(encoding="utf-8")
            time.sleep(0.1)
        raise AssertionError("chromedriver did not come up within 30 seconds")

    def call(self, path, body=None, method="POST"):
        request = urllib.request.Request(self.base + path, json.dumps(body or {}).encode() if method == "POST" else None,
                                         {"Content-Type": "application/json"}, method=method)  # fmt: skip
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def cdp(self, command, **parameters):
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def script(self, text):
        return self.call("/execute/sync", {"script": text, "args": []})

    def logged(self, kind):
        return self.call("/se/log", {"type": kind})

    def open(self, path, width, height=900, dark=False, media="screen"):
        """Load a page as on a screen of this size; everything that is logged from here on belongs to it."""
        self.call("/url", {"url": "about:blank"})
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.cdp("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        for kind in ("browser", "performance"):
            self.logged(kind)
        self.call("/url", {"url": path.as_uri()})

    def shot(self, name):
        """A picture of the whole page."""
        height = self.script("return document.documentElement.scrollHeight")
        width = self.script("return innerWidth")
        picture = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                           clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1})["data"]  # fmt: skip
        (SHOTS / f"{name}.png").write_bytes(base64.b64decode(picture))

    def close(self):
        try:
            self.call("", method="DELETE")
        finally:
            self.driver.terminate()
            self.driver.wait(timeout=30)
            self.log.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    apt.require(apt.CHROMIUM_PACKAGES)
    SHOTS.mkdir(parents=True, exist_ok=True)
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name in RUNS:
        (folder / f"{name}.html").write_text(page_of(load(name)), encoding="utf-8")
    return folder


STICKING_OUT = """
const wide = document.documentElement.clientWidth;
return [document.documentElement.scrollWidth, innerWidth, [...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    const inside = element.closest('.track') && !element.matches('.track');
    const cut = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== 'inline';
    return !inside && (box.right > wide + 0.5 || box.left < -0.5 || cut);
}).map(element => element.outerHTML.slice(0, 120))];
"""
OVERLAPPING = """
const boxes = [...document.querySelectorAll('.scale b')].map(element => element.getBoundingClientRect());
return boxes.filter((box, number) => number && box.left < boxes[number - 1].right + 2).length;
"""


@pytest.mark.parametrize("width", [380, 768, 1400])
@pytest.mark.parametrize("name", RUNS)
def test_page_in_a_browser(browser, pages, name, width):
    document = plugin.clean(load(name))
    browser.open(pages / f"{name}.html", width)
    seen = re.sub(r"\s+", " ", browser.script("document.querySelectorAll('details').forEach(one => one.open = true); return document.body.innerText"))
    said = [document["host"], *(words for stage in document["stages"] for words in (stage["title"], *stage["evidence"], *stage["changes"]))]
    assert [words for words in said if re.sub(r"\s+", " ", words) not in seen] == []
    scroll, inner, out = browser.script(STICKING_OUT)
    assert scroll <= inner == width and out == []
    assert browser.script(OVERLAPPING) == 0
    assert browser.script("return document.title").startswith(document["host"])
    assert [entry for entry in browser.logged("browser") if "pwned" in str(entry) or entry["level"] != "INFO"] == []
    requests = [json.loads(entry["message"])["message"] for entry in browser.logged("performance")]
    asked = [event["params"]["request"]["url"] for event in requests if event["method"] == "Network.requestWillBeSent"]
    assert asked == [(pages / f"{name}.html").as_uri()]
    browser.open(pages / f"{name}.html", width, dark=width == 380)
    browser.shot(f"{name}-{width}")


def test_the_browser_would_have_told(browser, tmp_path):
    """What the test above wants to be empty is not, where there is something to see."""
    page = page_of(load("done-article")).replace("<header>", "<header><script>console.error('seen')</script><p style='width:2000px'>x</p>", 1)
    (tmp_path / "bad.html").write_text(page.replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'; img-src *"))
    (tmp_path / "blocked.html").write_text(page.replace("<main>", "<main><img src='http://127.0.0.1:9/x.png'>", 1))
    browser.open(tmp_path / "bad.html", 380)
    assert any("seen" in entry["message"] for entry in browser.logged("browser"))
    scroll, inner, out = browser.script(STICKING_OUT)
    assert scroll > inner and out
    browser.open(tmp_path / "blocked.html", 1400)
    blocked = [entry["message"] for entry in browser.logged("browser")]
    assert any("script" in message for message in blocked) and any("x.png" in message for message in blocked)


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_has_contrast_enough(browser, pages, dark):
    """WCAG AA asks 4.5 to 1 of ordinary text."""
    browser.open(pages / "rolled-back.html", 1400, dark=dark)
    weak = browser.script("""
        const rgb = text => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
        const ground = element => { for (; element; element = element.parentElement) {
            const c = rgb(getComputedStyle(element).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
        return [...document.querySelectorAll('body *')].filter(element => [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
            .map(element => { const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))];
                return [element.className, element.innerText.slice(0, 40), (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; })
            .filter(([, , ratio]) => ratio < 4.5);
    """)
    assert weak == []
    background = browser.script("return getComputedStyle(document.body).backgroundColor")
    assert (max(int(part) for part in re.findall(r"\d+", background)) < 60) == dark


@pytest.mark.parametrize("name", ["done-article", "paused-second-night"])
def test_page_prints_with_all_that_is_folded(browser, pages, name):
    browser.open(pages / f"{name}.html", 794, media="print")
    folded = browser.script("return [...document.querySelectorAll('details li')].filter(one => one.getBoundingClientRect().height === 0).length")
    assert folded == 0
    browser.shot(f"{name}-print")
    browser.open(pages / f"{name}.html", 794)
    printed = base64.b64decode(browser.call("/print", {"page": {"width": 21.0, "height": 29.7}}))
    (SHOTS / f"{name}.pdf").write_bytes(printed)
    assert printed.startswith(b"%PDF-") and len(printed) > 20000
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 5
