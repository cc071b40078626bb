# SPDX-License-Identifier: GPL-3.0-or-later
"""Systemd containers that look like CentOS 7 to Ansible, for Molecule: the image, and an engine that runs without being installed.

The image is the virtual machine's userland, dressed the same way, without what a container cannot use. Engines are Debian 11's docker.io
and podman, unpacked into the cache; dockerd runs only between enter and exit of Engine, with a socket and data of its own, without
bridge and packet filter, and is stopped by its pid. Nothing is privileged: the containers have an engine's default capabilities, and
no controller of the cgroup tree can be written in them.

As a program, ``python3 -m lab.containers --archive TAR --work DIR --out TAR`` dresses an archive (as root or under fakeroot).
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from lab import apt, cache, dress, image, kernel, rootfs
from lab.progress import LabError, logged, say

ENGINES = ("docker", "podman")
NAME = "el7ops-kmem/el7"
PARTS = cache.LAB_DIR / "container"
_PACKAGES = (
    "conmon", "containerd", "docker.io", "golang-github-containers-common", "golang-github-containers-image", "libassuan0",
    "libdevmapper1.02.1", "libglib2.0-0", "libgpgme11", "libpcre3", "libseccomp2", "podman", "runc",
)  # fmt: skip
_MASKED = (
    "containerd.service", "docker.service", "docker.socket", "lab-lvm.service", "lab-net.service", "ssh.service", "systemd-udevd.service",
)  # fmt: skip
# no container runs containers here, and nobody reads manuals
_REMOVED = (
    "usr/bin/containerd", "usr/bin/ctr", "usr/bin/docker", "usr/sbin/dockerd", "usr/share/doc", "usr/share/info", "usr/share/locale",
    "usr/share/man", "var/cache/apt", "var/lib/apt/lists",
)  # fmt: skip
_SECONDS = 60


# -- the image -----------------------------------------------------------------


def archive(engine: Engine) -> Path:
    """Return the archive of the finished image, made with ENGINE where it is missing."""
    repositories, userland = image.repositories(), rootfs.build(apt.Bullseye().update())
    made_of = [inspect.getsource(_build), inspect.getsource(_dress), repr(_MASKED), repr(_REMOVED), PARTS, dress.TREE, Path(dress.__file__)]
    key = cache.key(userland.name, repositories.name, *made_of)
    return cache.entry("container", key, lambda target: _build(engine, userland, repositories, target), suffix=".tar")


def _build(engine: Engine, userland: Path, repositories: Path, target: Path) -> None:
    log, dressed = apt.log("container"), target.with_suffix(".dressed")
    prefix = [] if os.geteuid() == 0 else ["fakeroot", "--"]
    logged(
        "dressing the userland as EL7 for containers; about a minute",
        [*prefix, sys.executable, "-m", "lab.containers", "--archive", str(userland), "--work", str(target.parent / "tree"), "--out", str(dressed)],
        cwd=cache.LAB_DIR.parent, log=log,
    )  # fmt: skip
    base, name = f"{NAME}:building", "el7ops-kmem-building"
    engine.call(["import", str(dressed), base])
    dressed.unlink()
    try:
        engine.call(
            ["run", "--interactive", "--name", name, "--network", "none", "--volume", f"{repositories}:/mirror:ro", base,
             "/bin/bash", "-s", kernel.EL7], stdin=(PARTS / "provision.sh").read_text(),
        )  # fmt: skip
        engine.call(["export", "--output", str(target), name])
    finally:
        engine.call(["rm", "--force", name], check=False)
        engine.call(["rmi", "--force", base], check=False)


def _dress(userland: Path, work: Path, out: Path) -> None:
    """Unpack USERLAND below WORK, dress it and pack it into OUT."""
    work.mkdir()
    work.chmod(0o755)
    subprocess.run(["tar", "-xf", str(userland), "-C", str(work), "--numeric-owner"], check=True)
    key = image.private_key()  # nobody logs in to a container by SSH, so any key will do as the host's
    dress.dress(work, key.with_suffix(".pub").read_text(), key, image.ID_MAX)
    for name in _REMOVED:
        path = work / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    units = work / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "multi-user.target.wants/mariadb.service").unlink(missing_ok=True)
    shutil.copyfile(PARTS / "lab-mirror.service", units / "lab-mirror.service")
    (units / "multi-user.target.wants/lab-mirror.service").symlink_to("../lab-mirror.service")
    (work / "etc/fstab").write_text("")
    probe = work / "usr/sbin/grub-probe"
    shutil.copyfile(PARTS / "grub-probe", probe)
    probe.chmod(0o755)
    subprocess.run(["tar", "-cf", str(out), "-C", str(work), "--numeric-owner", "--sort=name", "."], check=True)
    shutil.rmtree(work)


# -- engines -------------------------------------------------------------------


def usable() -> tuple[str, ...]:
    """Return the engines whose containers can run systemd on this machine, the quicker one first (Ansible has pipelining into docker only).

    On cgroup version 2 systemd has to write where docker lets nobody write who is not privileged.
    """
    return ENGINES if Path("/sys/fs/cgroup/systemd").is_dir() else ("podman",)


def _unpacked() -> Path:
    suite = apt.Bullseye().update()
    versions = [f"{name}={version}" for name, version in sorted(suite.candidates(_PACKAGES).items())]
    return cache.entry("engines", cache.key(*versions), lambda target: suite.unpack(_PACKAGES, target))


class Engine:
    """One of ENGINES, for a with statement; ``environment`` is what programs need to find it."""

    def __init__(self, name: str) -> None:
        if name not in ENGINES:
            raise LabError(f"there is no engine {name!r}; there are {', '.join(ENGINES)}")
        self.name = name
        self.data = cache.root() / "engine-data" / name
        self.environment: dict[str, str] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Engine:
        apt.require(apt.BUILD_PACKAGES)
        root = _unpacked()
        # a Unix socket's path must be short
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="el7ops-", ignore_cleanup_errors=True)))
        path = os.pathsep.join(str(part) for part in (folder / "bin", root / "usr/sbin", root / "usr/bin"))
        libraries = os.pathsep.join(str(root / part) for part in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
        self.environment = {
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "LD_LIBRARY_PATH": libraries, "MOLECULE_ENGINE": self.name,
        }  # fmt: skip
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            (folder / "bin").mkdir()
            self._stack.enter_context(cache.lock(f"engine-{self.name}"))  # two of one engine would share their data
            getattr(self, f"_{self.name}")(root, folder)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _wrap(self, folder: Path, argv: Sequence[str]) -> None:
        """Put a program of the engine's name in front of the others, so that its libraries and settings reach no other program."""
        words = " ".join(f'"{word}"' for word in argv)
        wrapper = folder / "bin" / self.name
        wrapper.write_text(f'#!/bin/sh\nexport LD_LIBRARY_PATH="{self.environment["LD_LIBRARY_PATH"]}"\nHOME="{folder}" exec {words} "$@"\n')
        wrapper.chmod(0o755)

    def _podman(self, root: Path, folder: Path) -> None:
        conf = folder / "containers.conf"
        settings = (PARTS / "containers.conf").read_text().replace("@RUNC@", str(root / "usr/sbin/runc"))
        conf.write_text(settings.replace("@CONMON@", str(root / "usr/bin/conmon")))
        self.environment["CONTAINERS_CONF"] = str(conf)
        run = self.data / "run"  # podman keeps to the path that it was first told
        shutil.rmtree(run, ignore_errors=True)
        places = ["--root", str(self.data / "storage"), "--runroot", str(run), "--tmpdir", str(run / "tmp")]
        self._wrap(folder, [str(root / "usr/bin/podman"), *places])
        policy = folder / ".config/containers/policy.json"  # an import asks for one: anything may come in
        policy.parent.mkdir(parents=True)
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._stack.callback(self._end_containers)

    def _docker(self, root: Path, folder: Path) -> None:
        socket = f"unix://{folder}/docker.sock"
        self.environment["DOCKER_HOST"] = socket
        self._wrap(folder, [str(root / "usr/bin/docker"), "--host", socket])
        argv = [  # sudo would drop the environment
            "env", *(f"{name}={self.environment[name]}" for name in ("PATH", "LD_LIBRARY_PATH")),
            str(root / "usr/sbin/dockerd"), "--host", socket, "--data-root", str(self.data), "--exec-root", str(folder / "exec"),
            "--pidfile", str(folder / "dockerd.pid"), "--bridge", "none", "--iptables=false", "--ip6tables=false", "--group", str(os.getgid()),
        ]  # fmt: skip
        log = open(apt.log("dockerd"), "ab")  # noqa: SIM115
        self._stack.callback(log.close)
        process = subprocess.Popen(apt.as_root(argv, argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._stack.callback(self._stop, process)
        self._stack.callback(self._end_containers)
        deadline = time.monotonic() + _SECONDS
        while self.call(["version"], check=False).returncode:
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(apt.log("dockerd").read_text(errors="replace").splitlines()[-15:])
                raise LabError(f"{tail}\ndockerd does not answer; the whole log is {apt.log('dockerd')}")
            time.sleep(0.1)

    @staticmethod
    def _stop(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _end_containers(self) -> None:
        """Remove every container of this engine; it is private, so they are all ours."""
        found = self.call(["ps", "--all", "--quiet"], check=False).stdout.split()
        if found:
            self.call(["rm", "--force", "--volumes", *found], check=False)

    def call(self, arguments: Sequence[str], check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command of the engine."""
        argv = [self.name, *arguments]
        feed = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            [shutil.which(argv[0], path=self.environment["PATH"]) or argv[0], *argv[1:]],
            env={**os.environ, **self.environment, "LD_LIBRARY_PATH": ""}, check=False, capture_output=True, text=True, **feed,
        )  # fmt: skip
        if check and done.returncode:
            raise LabError(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def later(self, arguments: Sequence[str]) -> None:
        """Run a command of the engine at its end."""
        self._stack.callback(self.call, arguments, check=False)

    def image(self) -> str:
        """Return the name of the image, imported first where the engine has it not."""
        packed = archive(self)
        tag = f"{NAME}:{packed.stem.split('-')[-1]}"
        if self.call(["image", "inspect", tag], check=False).returncode:
            say(f"giving {self.name} the image {tag}")
            self.call(["import", str(packed), tag])
        return tag


def main() -> None:
    """Dress an archive."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--archive", "--work", "--out"):
        parser.add_argument(name, type=Path, required=True)
    asked = parser.parse_args()
    _dress(asked.archive, asked.work, asked.out)


if __name__ == "__main__":
    main()
