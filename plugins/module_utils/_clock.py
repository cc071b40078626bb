# Copyright: el7ops.kmem contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times in log lines and captures: pure functions over text."""
from __future__ import absolute_import, division, print_function

__metaclass__ = type

import re
import time

TEXT = (type(""), type(u""))

ISO_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,]\d+)?\s?(Z|[+-]\d\d:?\d\d)?")
SYSLOG_TIME = r"^([A-Z][a-z]{2}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) "  # compiled where a line begins with a month
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# a line without a zone can be of any; a clock that was set after the boot moves the rest
SLACK = 26 * 3600


def time_in(line):
    """The match of the syslog time that a log line begins with, else of the first other time in it, or None."""
    return (re.search(SYSLOG_TIME, line) if line[:3] in MONTHS else None) or ISO_TIME.search(line)


def line_time(line):
    """The time of a log line, as it stands there, or None."""
    match = time_in(line)
    return match.group(0).strip() if match else None


def seconds_of(text, near=None):
    """Seconds since 1970 of a time in a log line or a capture, or None. Without a zone it is taken for UTC.

    The year of a syslog time is the latest that does not lie after C(near).
    """
    match = time_in(text or "")
    try:
        if match and match.re is ISO_TIME:
            seconds = epoch(*[int(part) for part in match.groups()[:6]])
            zone = (match.group(7) or "Z").replace(":", "")
            if zone != "Z":
                seconds -= (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[3:5]) * 60)
            return seconds
        if match and near is not None:
            month = MONTHS.index(match.group(1)) + 1
            year = time.gmtime(near).tm_year
            for candidate in (year, year - 1):
                seconds = epoch(candidate, month, *[int(part) for part in match.groups()[1:]])
                if seconds <= near + SLACK:
                    return seconds
    except ValueError:
        pass
    return None


def epoch(year, month, day, hour, minute, second):
    """Seconds since 1970 of a time in UTC, as calendar.timegm() has it; importing that takes as long as reading a log."""
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        raise ValueError("no time")
    # the year begins in March here, so that the leap day is its last
    year -= month <= 2
    days = year * 365 + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
    return ((days * 24 + hour) * 60 + minute) * 60 + second
