"""A lab to do faults to: brought into the state that a fault needs, struck at the right moment, healed and verified."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.drills.steps import Place, Step
from orchestrator.providers.container import engine
from orchestrator.providers.without_systemd import private_engine
from tests.e2e.conftest import CHECKOUT, User
from tests.faults.catalog import Case, Kind, Moment, Start

# What a healing or refusing command may take at most, and a moment be waited for, on two busy cores.
DEADLINE = float(os.environ.get("LABCTL_FAULTS_DEADLINE", "600"))
NODES = ("m-k8s", "w1-k8s")
POD_SECONDS = 60.0
LOOK = """
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl get nodes --no-headers | grep -cw Ready
kubectl get pods -A --no-headers | grep -vcwE 'Running|Completed'
"""
SIGNALLED = (-signal.SIGKILL, -signal.SIGINT)


@dataclass
class Reader(User):
    """A user whose environment a case may change: what stands in the file `env` counts."""

    @property
    def environment(self) -> dict[str, str]:
        file = self.home / "env"
        lines = file.read_text().splitlines() if file.exists() else []
        return {**super().environment, **dict(line.split("=", 1) for line in lines)}


@dataclass
class Workbench:
    """One lab of a run of the suite. `lasted` has the seconds that the last provision from each start took."""

    user: Reader
    provider: str
    kind: Kind
    lasted: dict[Start, float] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    image: str = ""

    @property
    def name(self) -> str:
        return f"faults-{self.kind}"

    @property
    def state(self) -> Path:
        return self.user.home / ".labctl" / self.name

    def make(self, *, provision: bool = True) -> None:
        """Write its lab.yml and make the lab, unless the first case does that itself."""
        profile = (
            "profile: bare\npackages: {base: [curl, jq, socat]}\n"
            if self.kind == "bare"
            else "packages: {source: debian}\n"
        )
        self.user.home.mkdir(exist_ok=True)
        (self.user.home / "lab.yml").write_text(
            f"version: 1\nname: {self.name}\nprovider: {self.provider}\n{profile}"
            "workers: {count: 1}\nnetwork: {subnet: auto}\n"
        )
        if not provision:
            return
        done = self.provision()
        assert done.returncode == 0, done.stderr[-4000:]
        self.remember()
        if self.provider == "container":
            self.image = self.host("docker inspect -f '{{.Config.Image}}' $PREFIX-m-k8s").stdout.strip()

    # Bringing it there.

    def bring_to(self, start: Start) -> None:
        """Have the lab as the fault is to find it."""
        if start == "nothing":
            if self.state.exists():
                self.good("destroy", "--yes")
            self.plan = {}
            return
        self.remember()
        if start == "reset":
            self.good("reset", "--yes")
        elif start == "worker-gone":
            if self.provider != "container":
                self.good("reset", "--yes")
                return
            self.host(
                "docker rm -fv $PREFIX-w1-k8s >/dev/null; docker volume rm $(docker volume ls -q "
                "--filter label=labctl.uuid=$UUID --filter label=labctl.node=w1-k8s) >/dev/null"
            )

    def remember(self) -> None:
        """Note the identity of the lab while its state can be read."""
        self.plan = json.loads((self.state / "plan.json").read_text())

    def good(self, *args: str) -> str:
        """Run labctl, which must succeed."""
        done = self.user.run(*args, timeout=DEADLINE)
        assert done.returncode == 0, f"labctl {' '.join(args)}: {done.returncode}\n{done.stderr[-3000:]}"
        return done.stdout

    # Doing things.

    def apply(self, steps: Iterable[Step], pid: int = 0) -> None:
        """Do a case's steps on the host or on a node, as root, each line whatever became of the one before."""
        for step in steps:
            done = self.host(step.script, pid) if step.node == "host" else self.node(step.node, step.script)
            assert done.returncode == 0, f"{step.script}: {done.stdout}{done.stderr}"

    def host(self, script: str, pid: int = 0, *, typed: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a shell script in the user's directory; `typed` is what a user types, who knows no variables of ours."""
        env = self.user.environment if typed else {**self.user.environment, **self._variables(pid)}
        env["PATH"] = f"{CHECKOUT}:{env['PATH']}"
        return subprocess.run(
            ["bash", "-c", script], cwd=self.user.home, env=env, capture_output=True, text=True, timeout=DEADLINE
        )

    def node(self, place: Place, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script on a node as root; a container is entered by Docker, for SSH may be what is broken."""
        name = NODES[0] if place == "control_plane" else NODES[1]
        if self.provider == "container":
            argv = ["docker", "exec", "-i", f"{self._prefix}-{name}", "bash", "-s"]
        else:
            argv = [*self.user.labctl, "ssh", name, "--", "sudo", "bash", "-s"]
        addresses = "".join(f"{key}={value}\n" for key, value in self._addresses.items())
        return subprocess.run(
            argv,
            cwd=self.user.home,
            env={**self.user.environment, **self._engine()},
            input=addresses + script,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )

    def strike(self, case: Case) -> int:
        """Run provision, do the fault at its moment; how the struck run ended."""
        assert case.moment is not None
        began = time.time()
        log = (self.user.home / "struck.err").open("w+")
        # A moment in the middle of the roles comes only where they run on every node.
        all_roles = () if case.moment.random else ("--full", "--no-bake")
        run = subprocess.Popen(
            # A suite in the background of a shell ignores Ctrl-C, and what it starts would inherit that.
            ["env", "--default-signal=INT", *self.user.labctl, "provision", "--yes", *all_roles, "--progress", "plain"],
            cwd=self.user.home, env=self.user.environment, stdout=subprocess.DEVNULL, stderr=log,
            # A fault that kills what is left of it must not reach this test.
            start_new_session=True,
        )  # fmt: skip
        try:
            if case.moment.random:
                moment = random.Random(f"{case.id} {case.number}").random() * self.lasted.get(case.start, 30.0)
                self._until(lambda: time.time() > began + moment or run.poll() is not None, "the moment")
            else:
                self._await(case.moment, began, run)
            if run.poll() is None:
                self.apply(case.breaks, run.pid)
            else:
                assert case.moment.random, f"provision ended before the moment: {self.struck()}"
            return run.wait(timeout=DEADLINE)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
            log.close()

    def struck(self) -> str:
        """The last that the struck run said."""
        return (self.user.home / "struck.err").read_text()[-2500:]

    def _await(self, moment: Moment, since: float, run: subprocess.Popen[bytes]) -> None:
        self._until(lambda: moment.phase in self._phases(since) or run.poll() is not None, moment.phase)
        if moment.until != "true":
            self._until(
                lambda: self.node(moment.node, moment.until).returncode == 0 or run.poll() is not None, moment.until
            )

    def _phases(self, since: float) -> list[str]:
        """Titles of the phases that began since then, as the journal has them."""
        titles = []
        journal = self.state / "journal.jsonl"
        for line in journal.read_text(errors="replace").splitlines() if journal.exists() else ():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("event") == "PhaseStarted" and entry["at"] >= since:
                titles.append(entry["title"])
        if not self.plan and (self.state / "plan.json").exists():
            self.remember()
        return titles

    def _until(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < deadline, f"never came: {what}"
            time.sleep(0.1)

    # Verifying.

    def provision(self) -> subprocess.CompletedProcess[str]:
        """Plain provision, as everybody types it."""
        began = time.monotonic()
        done = self.user.run("provision", "--yes", "--output", "json", "--progress", "plain", timeout=DEADLINE)
        self.lasted["healthy"] = time.monotonic() - began
        return done

    def type_remedy(self, said: str, remedy: str) -> str:
        """Type the command that a refusal names; returns it."""
        fixes = " ".join(line.partition("fix:")[2] for line in said.splitlines() if "fix:" in line)
        found = re.search(remedy, fixes)
        assert found, f"no fix is {remedy!r}: {fixes!r}"
        command = found[0].strip()
        # A terminal would ask.
        asked = f"{command} --yes" if command.startswith("labctl") and "--yes" not in command else command
        done = self.host(asked, typed=True)
        assert done.returncode == 0, f"the remedy `{asked}` does not work: {done.stdout}{done.stderr}"
        return command

    def verify(self, said: str) -> None:
        """The lab is healthy: by the report of provision, by `labctl verify`, and by kubectl on the machine itself."""
        assert json.loads(said)["verify"]["ok"]
        done = self.user.run("verify", "--output", "json", timeout=DEADLINE)
        assert done.returncode == 0, f"verify: {done.stdout[-3000:]}"
        self.remember()
        if self.kind == "bare":
            return
        # The pods of a proof end within seconds after it.
        deadline = time.monotonic() + POD_SECONDS
        while (seen := self.node("control_plane", LOOK).stdout.split()) != [str(len(NODES)), "0"]:
            assert time.monotonic() < deadline, f"nodes that are Ready, pods that do not run: {seen}"
            time.sleep(1)

    def mend(self) -> None:
        """After a case that went wrong: have a healthy lab again, a new one if need be."""
        (self.user.home / "env").unlink(missing_ok=True)
        if self.provision().returncode == 0:
            return
        shutil.rmtree(self.state, ignore_errors=True)
        self.user.run("destroy", "--yes", timeout=DEADLINE)
        done = self.provision()
        assert done.returncode == 0, done.stderr[-3000:]

    # What a case may need.

    def lacks(self, case: Case) -> str:
        """Why a case cannot be done here; empty when it can."""
        if "alone" in case.needs:
            running = engine.running()
            if running is None or not running[1]:
                return "the Docker engine here is not labctl's own"
            others = self.host("docker ps -aq --filter label=labctl.uuid | sort >all; docker ps -aq --filter "
                               "label=labctl.uuid=$UUID | sort | comm -13 - all; rm all").stdout  # fmt: skip
            if others.strip():
                return "another lab is on this Docker engine"
        return ""

    @property
    def _prefix(self) -> str:
        return f"{self.name}-{self.plan['uuid'][:8]}" if self.plan else self.name

    @property
    def _addresses(self) -> dict[str, str]:
        nodes = {node["name"]: node for node in self.plan.get("nodes", ())}
        if not nodes:
            return {}
        return {
            "CP": nodes["m-k8s"]["address"],
            "W": nodes["w1-k8s"]["address"],
            "W_PORT": str(nodes["w1-k8s"]["ssh_port"]),
            "GW": self.plan["network"]["gateway"],
        }

    def _engine(self) -> dict[str, str]:
        running = engine.running() if self.provider == "container" else None
        if running is None:
            return {}
        own = private_engine.own().process() if running[1] else None
        return {"DOCKER_HOST": running[0], "ENGINE_PID": str(own or "")}

    def _variables(self, pid: int) -> dict[str, str]:
        found = {
            "LAB": str(self.state),
            "HERE": str(self.user.home),
            "PREFIX": self._prefix,
            "LABCTL": " ".join(self.user.labctl),
            "PID": str(pid),
            **self._addresses,
            **self._engine(),
        }
        if self.plan:
            found |= {"UUID": self.plan["uuid"], "BUNDLE": str(paths.cache_dir() / "bundles" / self._bundle)}
            found |= {"IMAGE": self.image, "NETWORK": f"labctl-{self._prefix}"}
        return found

    @property
    def _bundle(self) -> str:
        return str(self.plan["source"].get("bundle_id") or "")
