# SPDX-License-Identifier: Apache-2.0
"""cubar-doctor where all is well, and what it says of one thing after another that is not. What it
says to do is done, and does it."""

import json
import signal
from contextlib import contextmanager

from cases import expect
from package_cases import DROP_INS, LIBRARIES, STUB, succeed

# From the device to the first answered call.
CHECKS = {"device", "group", "lockdown", "enabled", "permission", "version", "library", "link", "service",
          "host", "memory type", "session", "first call"}


def findings(bench, user="root"):
    """What cubar-doctor finds."""
    job = bench.guest.call("/usr/sbin/cubar-doctor --json", user, 30)
    told = json.loads(job.output())
    wrong = [finding for finding in told["findings"] if finding["health"] == "bad"]
    expect((job.code, told["all_well"]) == ((1, False) if wrong else (0, True)),
           f"cubar-doctor ended with {job.code} and {told}")
    return told["findings"]


def expect_well(bench):
    wrong = [finding for finding in findings(bench) if finding["health"] == "bad"]
    expect(not wrong, f"cubar-doctor complains: {wrong}")


def expect_complaint(bench, check, mend, user="root"):
    """It finds fault with this, and says what to do."""
    found = findings(bench, user)
    expect(any(finding["check"] == check and finding["health"] == "bad" and mend in finding["mend"]
               for finding in found), f"no complaint about {check} with '{mend}' to do in {found}")


def doctor_is_content(bench):
    """It says so line by line, and knows of the stub, which does no harm."""
    found = findings(bench)
    checks = {finding["check"] for finding in found if finding["health"] != "skipped"}
    expect(CHECKS <= checks, f"not looked at: {CHECKS - checks}")
    expect_well(bench)
    notes = [finding for finding in found if finding["check"] == "another libcuda"]
    expect([note["health"] for note in notes] == ["note"] and STUB in notes[0]["says"], f"of the stub: {notes}")
    text = succeed(bench, "cubar-doctor")
    expect(text.count("\n") >= len(found) and "good    first call" in text, f"without --json it says {text}")


@contextmanager
def stopped(bench):
    """cubard does nothing at all for a while."""
    bench.cubard.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        bench.cubard.process.send_signal(signal.SIGCONT)


def doctor_names_what_is_wrong(bench):
    grant = "/usr/lib/cubar/cubar-device add --all"
    override = f"{DROP_INS}/override.conf"
    expect_complaint(bench, "permission", "usermod -aG cubar", "stranger")
    # What breaks it, which check tells of it, what it says to do, and that being done.
    for breaks, check, mend, mends in (
            ("/usr/lib/cubar/cubar-device remove --all", "enabled", grant, grant),
            ("chgrp root /sys/bus/pci/devices/*/resource2", "permission", grant, grant),
            (f"rm {LIBRARIES}/libcuda.so.1", "link", "cubar-link make", "cubar-link make"),
            (f"touch {LIBRARIES}/libcuda.so.570", "another libcuda", "move it away",
             f"rm {LIBRARIES}/libcuda.so.570"),
            (f"mkdir -p {DROP_INS}; printf '[Service]\\nEnvironment=LD_LIBRARY_PATH=/opt\\n' >{override}",
             "service", "systemctl daemon-reload", f"rm -r {DROP_INS}")):
        succeed(bench, breaks)
        expect_complaint(bench, check, mend)
        succeed(bench, mends)
        expect_well(bench)
    with stopped(bench):
        expect_complaint(bench, "session", "systemctl restart cubard")
    expect_well(bench)


CASES = (doctor_is_content, doctor_names_what_is_wrong)
