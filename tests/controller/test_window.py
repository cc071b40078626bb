# SPDX-License-Identifier: GPL-3.0-or-later
"""The maintenance window, above all where the clock is changed."""

import datetime
import os
import pathlib
import subprocess
import sys
import zoneinfo

import pytest
from ansible.errors import AnsibleFilterError

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "plugins" / "filter"))

import window as plugin  # noqa: E402

BERLIN, YORK, KOLKATA, AUCKLAND = "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland"
NIGHT = "23:00-05:00"
# window, zone, now, minutes -> open, fits, minutes left, opened, closes, next opening
TABLE = [
    # an ordinary night, on both sides of midnight, and the bounds themselves
    (NIGHT, BERLIN, "2026-11-24T22:59:59+01:00", 0, False, False, 0, None, None, "2026-11-24T23:00:00+01:00"),
    (NIGHT, BERLIN, "2026-11-24T23:00:00+01:00", 360, True, True, 360, "2026-11-24T23:00:00+01:00", "2026-11-25T05:00:00+01:00",
     "2026-11-25T23:00:00+01:00"),
    (NIGHT, BERLIN, "2026-11-24T23:00:01+01:00", 360, True, False, 359, "2026-11-24T23:00:00+01:00", "2026-11-25T05:00:00+01:00",
     "2026-11-25T23:00:00+01:00"),
    (NIGHT, BERLIN, "2026-11-25T04:48:00+01:00", 12, True, True, 12, "2026-11-24T23:00:00+01:00", "2026-11-25T05:00:00+01:00",
     "2026-11-25T23:00:00+01:00"),
    (NIGHT, BERLIN, "2026-11-25T04:48:00+01:00", 13, True, False, 12, "2026-11-24T23:00:00+01:00", "2026-11-25T05:00:00+01:00",
     "2026-11-25T23:00:00+01:00"),
    (NIGHT, BERLIN, "2026-11-25T05:00:00+01:00", 0, False, False, 0, None, None, "2026-11-25T23:00:00+01:00"),
    # the same moment told in other ways
    (NIGHT, BERLIN, "2026-11-25T03:48:00Z", 12, True, True, 12, "2026-11-24T23:00:00+01:00", "2026-11-25T05:00:00+01:00",
     "2026-11-25T23:00:00+01:00"),
    (NIGHT, BERLIN, 1795578480, 12, True, True, 12, "2026-11-24T23:00:00+01:00", "2026-11-25T05:00:00+01:00", "2026-11-25T23:00:00+01:00"),
    # within one day
    ("01:30-04:00", "UTC", "2026-11-24T01:30:00Z", 150, True, True, 150, "2026-11-24T01:30:00+00:00", "2026-11-24T04:00:00+00:00",
     "2026-11-25T01:30:00+00:00"),
    ("01:30-04:00", "UTC", "2026-11-24T04:00:00Z", 0, False, False, 0, None, None, "2026-11-25T01:30:00+00:00"),
    # Berlin, clock forward on 2026-03-29 (02:00 to 03:00): five hours
    (NIGHT, BERLIN, "2026-03-28T23:00:00+01:00", 300, True, True, 300, "2026-03-28T23:00:00+01:00", "2026-03-29T05:00:00+02:00",
     "2026-03-29T23:00:00+02:00"),
    (NIGHT, BERLIN, "2026-03-28T23:00:00+01:00", 301, True, False, 300, "2026-03-28T23:00:00+01:00", "2026-03-29T05:00:00+02:00",
     "2026-03-29T23:00:00+02:00"),
    (NIGHT, BERLIN, "2026-03-29T03:00:00+02:00", 120, True, True, 120, "2026-03-28T23:00:00+01:00", "2026-03-29T05:00:00+02:00",
     "2026-03-29T23:00:00+02:00"),
    # a bound in the hour that is skipped is the moment of the jump
    ("02:30-05:00", BERLIN, "2026-03-29T01:59:59+01:00", 0, False, False, 0, None, None, "2026-03-29T03:00:00+02:00"),
    ("02:30-05:00", BERLIN, "2026-03-29T03:00:00+02:00", 120, True, True, 120, "2026-03-29T03:00:00+02:00", "2026-03-29T05:00:00+02:00",
     "2026-03-30T02:30:00+02:00"),
    ("23:00-02:30", BERLIN, "2026-03-29T01:50:00+01:00", 10, True, True, 10, "2026-03-28T23:00:00+01:00", "2026-03-29T03:00:00+02:00",
     "2026-03-29T23:00:00+02:00"),
    ("23:00-02:30", BERLIN, "2026-03-29T03:00:00+02:00", 0, False, False, 0, None, None, "2026-03-29T23:00:00+02:00"),
    # a window that is skipped as a whole does not take place
    ("02:10-02:50", BERLIN, "2026-03-29T01:59:00+01:00", 0, False, False, 0, None, None, "2026-03-30T02:10:00+02:00"),
    # Berlin, clock back on 2026-10-25 (03:00 to 02:00): seven hours
    (NIGHT, BERLIN, "2026-10-24T23:00:00+02:00", 420, True, True, 420, "2026-10-24T23:00:00+02:00", "2026-10-25T05:00:00+01:00",
     "2026-10-25T23:00:00+01:00"),
    (NIGHT, BERLIN, "2026-10-25T02:30:00+01:00", 150, True, True, 150, "2026-10-24T23:00:00+02:00", "2026-10-25T05:00:00+01:00",
     "2026-10-25T23:00:00+01:00"),
    # a bound that comes twice: the shorter window
    ("23:00-02:30", BERLIN, "2026-10-25T02:29:00+02:00", 1, True, True, 1, "2026-10-24T23:00:00+02:00", "2026-10-25T02:30:00+02:00",
     "2026-10-25T23:00:00+01:00"),
    ("23:00-02:30", BERLIN, "2026-10-25T02:15:00+01:00", 0, False, False, 0, None, None, "2026-10-25T23:00:00+01:00"),
    ("02:30-05:00", BERLIN, "2026-10-25T02:45:00+02:00", 0, False, False, 0, None, None, "2026-10-25T02:30:00+01:00"),
    ("02:30-05:00", BERLIN, "2026-10-25T02:30:00+01:00", 150, True, True, 150, "2026-10-25T02:30:00+01:00", "2026-10-25T05:00:00+01:00",
     "2026-10-26T02:30:00+01:00"),
    ("02:10-02:50", BERLIN, "2026-10-25T02:10:00+02:00", 40, True, True, 40, "2026-10-25T02:10:00+02:00", "2026-10-25T02:50:00+02:00",
     "2026-10-26T02:10:00+01:00"),
    ("02:10-02:50", BERLIN, "2026-10-25T02:10:00+01:00", 0, False, False, 0, None, None, "2026-10-26T02:10:00+01:00"),
    # New York, forward on 2026-03-08, back on 2026-11-01
    (NIGHT, YORK, "2026-03-07T23:00:00-05:00", 300, True, True, 300, "2026-03-07T23:00:00-05:00", "2026-03-08T05:00:00-04:00",
     "2026-03-08T23:00:00-04:00"),
    (NIGHT, YORK, "2026-10-31T23:00:00-04:00", 420, True, True, 420, "2026-10-31T23:00:00-04:00", "2026-11-01T05:00:00-05:00",
     "2026-11-01T23:00:00-05:00"),
    ("23:00-01:30", YORK, "2026-11-01T01:10:00-04:00", 20, True, True, 20, "2026-10-31T23:00:00-04:00", "2026-11-01T01:30:00-04:00",
     "2026-11-01T23:00:00-05:00"),
    ("23:00-01:30", YORK, "2026-11-01T01:10:00-05:00", 0, False, False, 0, None, None, "2026-11-01T23:00:00-05:00"),
    # half an hour off, no clock change
    (NIGHT, KOLKATA, "2026-03-28T17:30:00Z", 360, True, True, 360, "2026-03-28T23:00:00+05:30", "2026-03-29T05:00:00+05:30",
     "2026-03-29T23:00:00+05:30"),
    (NIGHT, KOLKATA, "2026-03-28T17:29:00Z", 0, False, False, 0, None, None, "2026-03-28T23:00:00+05:30"),
    # the other side of the date line and of the year: back on 2026-04-05, forward on 2026-09-27
    (NIGHT, AUCKLAND, "2026-04-04T10:00:00Z", 420, True, True, 420, "2026-04-04T23:00:00+13:00", "2026-04-05T05:00:00+12:00",
     "2026-04-05T23:00:00+12:00"),
    (NIGHT, AUCKLAND, "2026-09-26T11:00:00Z", 300, True, True, 300, "2026-09-26T23:00:00+12:00", "2026-09-27T05:00:00+13:00",
     "2026-09-27T23:00:00+13:00"),
    ("23:00-02:30", AUCKLAND, "2026-09-26T14:00:00Z", 0, False, False, 0, None, None, "2026-09-27T23:00:00+13:00"),
    # half an hour of daylight saving
    ("23:00-05:00", "Australia/Lord_Howe", "2026-04-04T23:00:00+11:00", 390, True, True, 390, "2026-04-04T23:00:00+11:00",
     "2026-04-05T05:00:00+10:30", "2026-04-05T23:00:00+10:30"),
    # nearly a whole day
    ("05:00-04:59", BERLIN, "2026-11-24T04:59:30+01:00", 0, False, False, 0, None, None, "2026-11-24T05:00:00+01:00"),
]  # fmt: skip


@pytest.mark.parametrize("value, zone, now, minutes, is_open, fits, left, opened, closes, coming", TABLE)
def test_window(value, zone, now, minutes, is_open, fits, left, opened, closes, coming):
    result = plugin.window(value, zone, minutes, now)
    assert result.pop("text")
    assert result == {"open": is_open, "fits": fits, "minutes_left": left, "opened_at": opened, "closes_at": closes, "next_opening": coming}


@pytest.mark.parametrize("zone", [BERLIN, YORK, KOLKATA, AUCKLAND, "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize("value", [NIGHT, "02:10-02:50", "02:30-05:00", "23:00-02:30", "00:00-00:01", "12:00-11:59"])
def test_every_quarter_of_an_hour_around_a_clock_change_agrees_with_itself(value, zone):
    """What is open has begun and not ended; what is closed opens later, and at that moment it is open."""
    quarter = datetime.timedelta(minutes=15)
    now, end = (datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(datetime.timezone.utc) + quarter * 4 * 24 * day
                for day in (0, 365))  # fmt: skip
    judged = 0
    while now < end:
        offsets = {(now + quarter * 4 * hours).astimezone(zoneinfo.ZoneInfo(zone)).utcoffset() for hours in (-30, 30)}
        result = plugin.window(value, zone, 0, now)
        opened, closes, coming = (result[key] and datetime.datetime.fromisoformat(result[key]) for key in ("opened_at", "closes_at", "next_opening"))
        assert coming > now and plugin.window(value, zone, 0, coming)["open"]
        if result["open"]:
            assert opened <= now < closes <= coming
            assert result["minutes_left"] == int((closes - now).total_seconds() // 60)
        judged += 1
        now += quarter if len(offsets) > 1 else 50 * quarter
    assert judged > 500


def test_without_a_window_every_time_is_allowed():
    for value in ("", "  ", None):
        assert plugin.window(value, "No/Where", 5) == {
            "open": True, "fits": True, "minutes_left": None, "opened_at": None, "closes_at": None, "next_opening": None,
            "text": "No window is set: every time is allowed.",
        }  # fmt: skip


def test_text_is_a_sentence_to_act_on():
    assert plugin.window(NIGHT, BERLIN, 20, "2026-11-25T04:48:00+01:00")["text"] == (
        "The window 23:00-05:00 Europe/Berlin closes in 12 min (05:00 CET); the next stage may need 20 min."
        " It opens again on 2026-11-25 23:00 CET."
    )
    assert plugin.window(NIGHT, BERLIN, 20, "2026-11-24T12:00:00+01:00", "Update all packages")["text"] == (
        "The window 23:00-05:00 Europe/Berlin is closed and opens on 2026-11-24 23:00 CET, in 11 h 00 min;"
        " the next stage (Update all packages) may need 20 min."
    )
    assert "longer than the whole window (30 min): widen kmem_window" in plugin.window("01:00-01:30", "UTC", 31, "2026-11-24T01:00:00Z")["text"]


def test_the_present_is_the_default_and_a_datetime_is_taken():
    assert plugin.window("00:00-23:59", "UTC")["next_opening"] > datetime.datetime.now(datetime.timezone.utc).isoformat()
    aware = datetime.datetime(2026, 11, 25, 4, 48, tzinfo=zoneinfo.ZoneInfo(BERLIN))
    assert plugin.window(NIGHT, BERLIN, "12", aware)["fits"]


@pytest.mark.parametrize("value", [
    "23:00", "23:00-", "23-05", "24:00-05:00", "23:60-05:00", "9:00-17:00", "23:00 - 05:00", "23:00–05:00", "23:00-05:00 CET", 1380, True,
    "٢٣:00-05:00", "23:00-05:00\n23:00-05:00",
])  # fmt: skip
def test_a_malformed_window_names_the_variable_and_the_form(value):
    with pytest.raises(AnsibleFilterError, match=r"(?s)^kmem_window '.*form is HH:MM-HH:MM.*23:00-05:00"):
        plugin.window(value, "UTC", 0, "2026-11-24T01:00:00Z")


def test_same_start_and_end_is_refused():
    with pytest.raises(AnsibleFilterError, match="always as well as never.*leave kmem_window empty"):
        plugin.window("05:00-05:00", "UTC")


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "Europe", "../etc/passwd", "/etc/localtime", "CET+1", None, 3])
def test_an_unknown_zone_names_the_variable(zone):
    with pytest.raises(AnsibleFilterError, match="kmem_window_timezone '.*' is not known.*Europe/Berlin"):
        plugin.window(NIGHT, zone)


WITHOUT_DATABASE = """
import sys
sys.modules["tzdata"] = None
sys.path.insert(0, sys.argv[1])
import window
assert window.window("23:00-05:00", "UTC", 0, "2026-11-24T23:30:00Z")["open"]
try:
    window.window("23:00-05:00", "Europe/Berlin")
except window.AnsibleFilterError as error:
    print(error)
"""


def test_a_missing_tz_database_is_told_from_a_wrong_name():
    said = subprocess.run([sys.executable, "-c", WITHOUT_DATABASE, str(REPO / "plugins" / "filter")],
                          env=dict(os.environ, PYTHONTZPATH=""), check=True, capture_output=True, text=True).stdout  # fmt: skip
    assert "kmem_window_timezone 'Europe/Berlin'" in said and "no time zone database" in said and "tzdata" in said


@pytest.mark.parametrize("arguments, complaint", [
    (("UTC", "soon"), "'soon' as the minutes"), (("UTC", None), "None as the minutes"), (("UTC", -1), "-1 as the minutes"),
    (("UTC", 1, "2026-11-24T01:00:00"), "without a time zone"), (("UTC", 1, "today"), "cannot be read"),
    (("UTC", 1, datetime.datetime(2026, 1, 1)), "without a time zone"), (("UTC", 1, []), "cannot be read"), (("UTC", 1, True), "cannot be read"),
])  # fmt: skip
def test_arguments_that_cannot_be_meant(arguments, complaint):
    with pytest.raises(AnsibleFilterError, match=complaint):
        plugin.window(NIGHT, *arguments)


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: el7ops.kmem.common
        tasks_from: window
      vars:
        common_window_next: Update all packages
        common_window_minutes: 20
    - ansible.builtin.assert:
        that:
          - common_window_result.open is boolean
          - not common_window_result.fits
          - common_window_result.next_opening is string
          - "'Update all packages' in common_window_result.text"
"""


@pytest.mark.parametrize("value, said", [("now", ""), ("nonsense", "kmem_window 'nonsense' is not understood"), ("", "Assertion failed")])
def test_the_tasks_set_the_result(tmp_path, value, said):
    if value == "now":
        # a window that opens in an hour is closed now
        begin = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        value = f"{begin:%H:%M}-{begin + datetime.timedelta(hours=1):%H:%M}"
    (tmp_path / "play.yml").write_text(PLAY)
    done = subprocess.run(["ansible-playbook", "-i", "localhost,", "-c", "local", "play.yml", "-e", f"common_window='{value}'"], cwd=tmp_path,
                          check=False, capture_output=True, text=True)  # fmt: skip
    assert (done.returncode == 0) == (not said) and said in done.stdout, done.stdout
