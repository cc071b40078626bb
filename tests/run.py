# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the project's tests from a bare checkout and ends with one line: "N passed, N failed".

Usage: tests/run.py [STAGE ...]. Without a stage all run but those of BY_NAME_ONLY: those on the virtual machine, which mostly wait for
it, beside the others. A failed stage does not keep the others from running. Logs and the staged collection are in build/, what is expensive
to make is in the cache (lab/README.md).
"""
import fcntl
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree

REPO = pathlib.Path(__file__).resolve().parent.parent
BUILD = REPO / "build"
# ansible-test insists on this path; Ansible finds the collection there too
COLLECTIONS = BUILD / "collections"
SAFETY = REPO / "docs" / "safety.md"
STAGED = COLLECTIONS / "ansible_collections" / "el7ops" / "kmem"
BESIDE = BUILD / "beside"  # is there while other stages run beside those on the virtual machine
# in this order: where seconds are compared, nothing else should be at work any more
E2E = ("test_main_job.py", "test_whole_night.py", "test_cost.py")
MORE = ("test_runc.py", "test_awx.py")
# for files in which each test begins anew and spends its time on waiting for reboots; a machine takes the next test when it is free
TWO_MACHINES = ("--numprocesses=2", "--maxschedchunk=1", "--durations=0", "--durations-min=1")
sys.path.insert(0, str(REPO))

from lab import containers, image, molecule, others, python27, venv  # noqa: E402  pylint: disable=wrong-import-position
from lab.progress import LabError  # noqa: E402  pylint: disable=wrong-import-position


class Failed(Exception):
    """A command of a stage did not do what it should."""


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def stage_collection():
    """A copy of what git knows or would know, at the path that ansible-test asks for."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=REPO, check=True, stdout=subprocess.PIPE)  # fmt: skip
    shutil.rmtree(COLLECTIONS, ignore_errors=True)
    for name in listed.stdout.decode().split("\0"):
        source, target = REPO / name, STAGED / name
        if name and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    # ansible-test asks git for the files, and the repo above says that build/ is none of its business
    subprocess.run(["git", "init", "--quiet"], cwd=STAGED, check=True)
    subprocess.run(["git", "add", "--all"], cwd=STAGED, check=True)


def environment():
    """What the tools run with; what ansible-test would download from a host of its own is laid ready."""
    env = venv.environment(COLLECTIONS)
    cache = pathlib.Path(env["ANSIBLE_HOME"]) / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in ("20_3_4", "23_1_2"):
        shutil.copy2(REPO / "tests" / "get_pip.py", cache / f"get_pip_{version}.py")
    env["PATH"] = os.pathsep.join([str(python27.ensure().parent), env["PATH"]])
    # for playbooks/awx_configure.yml alone; nothing else may need a collection
    env["ANSIBLE_COLLECTIONS_PATH"] += os.pathsep + str(others.ensure())
    return env


def command(argv, log, cwd=STAGED, env=None):
    """Run one command, its output in a log and, where it fails, on the screen too."""
    log = BUILD / "log" / log
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as stream:
        result = subprocess.run([str(part) for part in argv], cwd=cwd, env=env or environment(), stdin=subprocess.DEVNULL,
                                stdout=stream, stderr=subprocess.STDOUT, check=False)  # fmt: skip
    if result.returncode:
        print(log.read_text(errors="replace")[-12000:])
        raise Failed(f"{' '.join(str(part) for part in argv)}: rc {result.returncode}, see {log.relative_to(REPO)}")
    return log.read_text(errors="replace")


def count_junit(path):
    """(passed, failed) of a pytest result file; a run without a test is a failure."""
    if not path.exists():
        return 0, 1
    suites = list(xml.etree.ElementTree.parse(path).getroot().iter("testsuite"))
    number = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    passed = number["tests"] - failed - number["skipped"]
    return (passed, failed) if passed or failed else (0, 1)


def tools():
    """What both halves of a run need, made before they part: two at a time would get into each other's way on a new machine."""
    environment()
    image.ensure()
    return 0, 0


def units(python):
    """Unit tests of modules and their pure cores under one Python, as ansible-test runs them for a managed host."""
    results = STAGED / "tests" / "output" / "junit"
    shutil.rmtree(results, ignore_errors=True)
    try:
        command(["ansible-test", "units", "--python", python, "--requirements", "--color", "no"], f"units-{python}.log")
    except Failed as failure:
        say(str(failure))
    counts = [count_junit(path) for path in results.glob("*.xml")] or [(0, 1)]
    return sum(count[0] for count in counts), sum(count[1] for count in counts)


def units_27():
    return units("2.7")


def units_3():
    return units("%d.%d" % sys.version_info[:2])


def controller():
    """Tests of what runs on the controller only: filters, the lab's own parts, the repo's house rules."""
    return run_pytest(["controller"], [], log="controller.log")


def e2e():
    """The main job and the whole night on the lab's virtual machine."""
    return run_pytest([f"e2e/{name}" for name in E2E], ["-s"], {"EL7OPS_BESIDE": str(BESIDE)})


def more():
    """On the lab's virtual machine: runc exchanged without a reboot, and a job as AWX runs it."""
    return run_pytest([f"e2e/{name}" for name in MORE], ["-s"])


def faults():
    """The trial boot against every fault, or those with the words of EL7OPS_FAULT; each gets its line in docs/safety.md."""
    counts, rows = with_rows("e2e/trial_boot.py", ["-s"] if os.environ.get("EL7OPS_FAULT") else TWO_MACHINES)
    safety_table(rows)
    return counts


def killer():
    """The controller or the power goes away at random moments of the whole run; each seed gets its line in docs/safety.md."""
    counts, rows = with_rows("e2e/random_killer.py", TWO_MACHINES)
    if rows:  # a run that met nothing does not wipe out what the last one saw
        killer_table(rows)
    return counts


def with_rows(path, options):
    """The counts of a file of tests, and what they put into the file that EL7OPS_FAULTS names."""
    seen = BUILD / "rows.json"
    seen.unlink(missing_ok=True)
    counts = run_pytest([path], options, {"EL7OPS_FAULTS": str(seen)})
    return counts, [json.loads(line) for line in seen.read_text().splitlines()] if seen.exists() else []


def safety_table(rows):
    """What became of the faults; a line stays until its fault is met again."""
    sys.path.insert(0, str(REPO / "tests" / "e2e"))
    from faults import ENDS, NAMES  # pylint: disable=import-outside-toplevel  # needs the lab, which is not everybody's

    lines = {line.split(" | ")[0].removeprefix("| "): line for line in old_table("faults") if line.startswith("| ")}
    for row in rows:
        lines[row["name"]] = f"| {row['name']} | {row['happens']} | {row['away']} s | {ENDS[row['ends']]} | {row['on']} |"
    known = [lines[name] for name in NAMES if name in lines]
    lost, wrong = (sum(f"| {ENDS[end]} |" in line for line in known) for end in ("lost", "wrong"))
    new_table("faults", ["| fault | what happens | away | end state | met on |", "| --- | --- | --- | --- | --- |", *known, "",
                         f"{len(known)} of {len(NAMES)} faults met, {lost} hosts lost, {wrong} not as they should end."])  # fmt: skip


def killer_table(rows):
    """What became of the seeds of the last run."""
    lines = ["| {seed} | {cut} | {} | {next} | {ends} | {on} |".format(row["where"].replace("|", "\\|"), **row)
             for row in sorted(rows, key=lambda row: row["seed"])]  # fmt: skip
    wrong = sum("**" in row["ends"] for row in rows)
    new_table("killer", ["| seed | cut was | at the task | the same command then | end state | met on |", "| --- | --- | --- | --- | --- | --- |",
                         *lines, "", f"{len(rows)} seeds, {wrong} of them not as they should end."])  # fmt: skip


def old_table(target):
    """The lines of docs/safety.md that a target of make has written."""
    return SAFETY.read_text().partition(f"<!-- make {target} -->\n")[2].partition("<!-- end -->")[0].splitlines()


def new_table(target, lines):
    """Put lines in their place."""
    head, mark, rest = SAFETY.read_text().partition(f"<!-- make {target} -->\n")
    SAFETY.write_text(head + mark + "\n".join(lines) + "\n<!-- end -->" + rest.partition("<!-- end -->")[2])


def run_pytest(paths, options, more=None, log=None):
    """(passed, failed) of the tests below tests/PATHS; live on the screen, because they take minutes, or with LOG only if they fail."""
    env = {**environment(), **(more or {})}
    results = BUILD / f"{paths[0].replace('/', '-')}.xml"
    results.unlink(missing_ok=True)
    argv = [venv.ensure() / "python", "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--junitxml={results}", *options,
            *(f"tests/{path}" for path in paths)]  # fmt: skip
    if log:
        try:
            command(argv, log, env=env)
        except Failed as failure:
            say(str(failure))
    else:
        subprocess.run([str(part) for part in argv], cwd=STAGED, env=env, stdin=subprocess.DEVNULL, check=False)
    return count_junit(results)


def sanity():
    """ansible-test sanity over the whole collection, with no ignore entries."""
    ignored = list((STAGED / "tests" / "sanity").glob("ignore*.txt"))
    if ignored:
        raise Failed(f"sanity ignore files are not allowed here: {ignored}")
    output = command(["ansible-test", "sanity", "--color", "no", "--skip-test", "pslint", "--skip-test", "shellcheck"], "sanity.log")
    return len(set(re.findall(r"^Running sanity test ['\"]([\w-]+)", output, re.M))), 0


def lint():
    """ansible-lint with the profile production, and yamllint."""
    command(["yamllint", "--strict", "."], "yamllint.log")
    command(["ansible-lint", "--offline", "--strict"], "ansible-lint.log")
    return 2, 0


def scenarios():
    """Each role on a systemd container, and each engine with an image of CentOS 7's name; 15 minutes at most."""
    codes = molecule.run()
    for engine in containers.usable():
        # a stand-in under the real name: what is shown is that the create playbook takes it, with either engine
        try:
            (codes[f"create ({engine})"],) = molecule.run(["nokmem"], engine, "create", "quay.io/centos/centos:7").values()
        except LabError as error:
            say(f"{engine}: {error}")
            codes[f"create ({engine})"] = 1
    for name in (name for name, code in codes.items() if code):
        print(molecule.log(name.split()[0] if "create" not in name else "nokmem").read_text(errors="replace")[-6000:])
    return sum(code == 0 for code in codes.values()), sum(code != 0 for code in codes.values())


def package():
    """The collection builds, installs offline from its tarball alone, and its playbooks are found there."""
    out = BUILD / "package"
    shutil.rmtree(out, ignore_errors=True)
    command(["ansible-galaxy", "collection", "build", "--output-path", out], "build.log")
    (tarball,) = out.glob("el7ops-kmem-*.tar.gz")
    env = dict(environment(), ANSIBLE_COLLECTIONS_PATH=str(out / "installed"))
    command(["ansible-galaxy", "collection", "install", "--offline", "-p", out / "installed", tarball], "install.log", env=env)
    installed = out / "installed" / "ansible_collections" / "el7ops" / "kmem"
    unwanted = [name for name in ("lab", "tests", ".ci", "Makefile", "requirements.lock") if (installed / name).exists()]
    if unwanted:
        raise Failed(f"the tarball holds what it should not: {unwanted}")
    for playbook in sorted(path.stem for path in (REPO / "playbooks").glob("*.yml")):
        if playbook == "awx_configure":
            env["ANSIBLE_COLLECTIONS_PATH"] += os.pathsep + str(others.ensure())
        else:
            env["ANSIBLE_COLLECTIONS_PATH"] = str(out / "installed")
        command(["ansible-playbook", "-i", "localhost,", "--syntax-check", f"el7ops.kmem.{playbook}"], f"syntax-{playbook}.log", cwd=out, env=env)
    return 4, 0


STAGES = {
    "tools": tools, "units-2.7": units_27, "units-3": units_3, "controller": controller, "sanity": sanity, "lint": lint,
    "package": package, "molecule": scenarios, "e2e": e2e, "more": more, "faults": faults, "killer": killer,
}  # fmt: skip
BY_NAME_ONLY = {"more", "faults", "killer"}  # longer than a run of all may take


def run_stages(names, rows):
    """Run one stage after the other; a row of the table at the end for each."""
    for name in names:
        say(f"{name} | {STAGES[name].__doc__ or ''}".rstrip(" |"))
        start = time.time()
        try:
            passed, failed = STAGES[name]()
        except Exception as failure:  # pylint: disable=broad-exception-caught  # in a thread, what is not caught here would not count
            say(f"{name} | FAILED: {type(failure).__name__}: {failure}")
            passed, failed = 0, 1
        rows.append((name, passed, failed, time.time() - start))
        say(f"{name} | {passed} passed, {failed} failed")


def main(wanted):
    unknown = [name for name in wanted if name not in STAGES]
    if unknown:
        sys.exit(f"unknown stage: {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    BUILD.mkdir(exist_ok=True)
    lock = open(BUILD / "lock", "w", encoding="utf-8")  # held until this process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("Another test run is at work in this checkout (build/lock). Wait for it, then type the same again.")
    stage_collection()
    rows, begin = [], time.time()
    if wanted:
        run_stages(wanted, rows)
    else:
        run_stages(["tools"], rows)
        BESIDE.touch()
        machine = threading.Thread(target=run_stages, args=(["e2e"], rows), daemon=True)
        machine.start()
        # Molecule handles signals, which Python allows in the main thread alone
        try:
            run_stages([name for name in STAGES if name not in {"tools", "e2e", *BY_NAME_ONLY}], rows)
        finally:
            BESIDE.unlink()
        machine.join()
    print()
    for name, passed, failed, seconds in rows:
        print(f"{name:<12} {passed:>5} passed {failed:>5} failed {seconds:>7.0f} s")
    print(f"{'all':<12} {sum(r[1] for r in rows):>5}        {sum(r[2] for r in rows):>5}        {time.time() - begin:>7.0f} s")
    print(f"{sum(row[1] for row in rows)} passed, {sum(row[2] for row in rows)} failed", flush=True)
    return 1 if any(row[2] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
