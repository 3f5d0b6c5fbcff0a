"""What VBoxManage and virsh print is read into machines; foreign ones are never taken for ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import catalog, proc, spec
from orchestrator.model import Plan
from orchestrator.observed import Observed
from orchestrator.plan import plan as make_plan
from orchestrator.providers import ssh_access
from orchestrator.providers.base import LabIdentity
from orchestrator.providers.vagrant import libvirt, libvirt_files, virtualbox, virtualbox_driver

LAB = LabIdentity("k8s-lab", "0f0e-uuid", "/home/reader/my labs")

EXTRA = """Key: GUI/LastCloseAction, Value: PowerOff
Key: labctl/name, Value: k8s-lab
Key: labctl/node, Value: m-k8s
Key: labctl/owner, Value: /home/reader/my%20labs
Key: labctl/uuid, Value: 0f0e-uuid
Key: labctl/host-keys, Value: ssh-ed25519 AAAA;ssh-rsa BBBB
"""

INFO = """name="m-k8s(book)"
memory=3072
cpus=2
VMState="running"
nic1="nat"
Forwarding(0)="kubernetes,tcp,127.0.0.1,60443,,6443"
Forwarding(1)="ssh,tcp,127.0.0.1,61010,,22"
"""


class TestVirtualBox:
    def test_a_machine_of_ours_is_read_with_the_forward_it_really_has(self) -> None:
        machine = virtualbox.machine_of("id-1", EXTRA, INFO)
        assert machine is not None
        assert (machine.id, machine.node, machine.lab, machine.state) == ("id-1", "m-k8s", LAB, "running")
        assert (machine.cpus, machine.memory, machine.ssh_port) == (2, 3072, 61010)
        assert machine.host_keys == ("ssh-ed25519 AAAA", "ssh-rsa BBBB")

    def test_a_machine_without_our_extra_data_is_somebody_elses(self) -> None:
        assert virtualbox.machine_of("id-1", "Key: GUI/Fullscreen, Value: true\n", INFO) is None

    @pytest.mark.parametrize(
        ("state", "ours"),
        [("poweroff", "stopped"), ("saved", "stopped"), ("aborted", "stopped"), ("gurumeditation", "broken")],
    )
    def test_states_are_told_apart(self, state: str, ours: str) -> None:
        machine = virtualbox.machine_of("id-1", EXTRA, INFO.replace('"running"', f'"{state}"'))
        assert machine is not None
        assert machine.state == ours

    @pytest.mark.parametrize("subnet", ["192.168.56.0/24", "192.168.63.0/24", "192.168.56.0/21"])
    def test_the_default_range_is_allowed(self, subnet: str) -> None:
        assert virtualbox.range_problem(subnet, None, free=False) is None

    def test_the_books_subnet_is_refused_with_the_file_and_the_line(self) -> None:
        problem = virtualbox.range_problem("192.168.1.0/24", None, free=False)
        assert problem is not None
        assert "/etc/vbox/networks.conf" in problem.fix
        assert "`* 192.168.1.0/24`" in problem.fix

    def test_networks_conf_replaces_the_default_range(self) -> None:
        conf = "# labs\n* 10.0.0.0/8 192.168.1.0/24\n* 2001::/64\n"
        assert virtualbox.range_problem("192.168.1.0/24", conf, free=False) is None
        assert virtualbox.range_problem("10.77.4.0/22", conf, free=False) is None
        assert virtualbox.range_problem("192.168.56.0/24", conf, free=False) is not None

    def test_a_name_that_no_folder_can_have_is_refused(self, observe: Callable[..., Observed]) -> None:
        def named(suffix: str) -> Plan:
            text = f"provider: virtualbox\nworkers: {{count: 0}}\nnames: {{suffix: '{suffix}'}}\n"
            return make_plan(spec.parse(text), catalog.load(), observe(), "render")

        assert virtualbox.name_problems(named("가" * 70)) == []
        (problem,) = virtualbox.name_problems(named("가" * 110))
        assert "has 335 bytes" in problem.what
        assert problem.where == "names.suffix"

    def test_machines_without_room_in_virtualboxs_own_folder_are_refused(self) -> None:
        assert virtualbox.room_problem("/vms", 24000, 24000) is None
        problem = virtualbox.room_problem("/vms", 23999, 24000)
        assert problem is not None
        assert "/vms, where VirtualBox keeps machines, has 23999 MB free" in problem.what
        assert "setproperty machinefolder" in problem.fix

    @pytest.mark.parametrize(("flags", "emulated"), [(["fpu", "vmx"], False), (["svm"], False), (["fpu"], True)])
    def test_where_no_processor_can_help_its_machines_are_emulated(
        self, monkeypatch: pytest.MonkeyPatch, flags: list[str], emulated: bool
    ) -> None:
        monkeypatch.setattr(virtualbox, "cpu_flags", lambda: flags)
        monkeypatch.setattr(virtualbox_driver, "is_native", lambda: True)
        assert virtualbox.VirtualBox().is_emulated() is emulated
        monkeypatch.setattr(virtualbox_driver, "is_native", lambda: False)
        assert not virtualbox.VirtualBox().is_emulated()

    def test_a_host_without_the_rule_takes_any_range(self) -> None:
        assert virtualbox.range_problem("192.168.1.0/24", None, free=True) is None

    def test_a_networks_conf_that_cannot_be_read_is_said(self) -> None:
        problem = virtualbox.range_problem("192.168.56.0/24", "* nonsense\n", free=False)
        assert problem is not None
        assert "cannot be read" in problem.what


DOMAIN = """<domain type='qemu'>
  <name>k8s-lab-0f0e-uui-m-k8s</name>
  <uuid>d0</uuid>
  <description>labctl uuid=0f0e-uuid lab=k8s-lab node=m-k8s owner=/home/reader/my%20labs</description>
  <metadata><labctl:machine xmlns:labctl="urn:labctl:machine"><labctl:host-key>ssh-ed25519 AAAA</labctl:host-key>
  </labctl:machine></metadata>
  <memory unit='KiB'>2621440</memory>
  <vcpu placement='static'>2</vcpu>
</domain>"""


class TestLibvirt:
    def test_a_domain_of_ours_is_read_with_its_pinned_key(self) -> None:
        machine = libvirt_files.machine_of(DOMAIN, "running")
        assert machine is not None
        assert (machine.id, machine.node, machine.lab, machine.state) == ("d0", "m-k8s", LAB, "running")
        assert (machine.cpus, machine.memory, machine.host_keys) == (2, 2560, ("ssh-ed25519 AAAA",))

    @pytest.mark.parametrize(
        "description",
        ["", "This VM is created with Vagrant", "labctl uuid=1 lab=x", "made by labctl uuid=1 lab=x node=n owner=/"],
    )
    def test_a_domain_with_another_description_is_somebody_elses(self, description: str) -> None:
        assert libvirt_files.identity_of(description) is None

    @pytest.fixture
    def plan(self, observe: Callable[..., Observed], tmp_path: Path) -> Plan:
        file = tmp_path / "lab.yml"
        file.write_text("version: 1\nprovider: libvirt\nworkers: {count: 1}\n", encoding="utf-8")
        return make_plan(spec.load(file), catalog.load(), observe(), "render")

    @pytest.fixture
    def virsh(self, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """A libvirt with the domain of m-k8s, which is somebody else's, and disks of both nodes; what it is told."""
        prefix = f"k8s-lab-{plan.uuid[:8]}-"
        volumes = "".join(f"{prefix}{node}.img  /pool/{prefix}{node}.img\n" for node in ("m-k8s", "w1-k8s"))
        answers = {
            "list --all --name": f"{prefix}m-k8s\n\n",
            f"dumpxml --domain {prefix}m-k8s": DOMAIN.replace("labctl uuid=0f0e-uuid", "my own"),
            "vol-list labctl": f"{volumes}base.img  /pool/base.img\n",
        }
        told: list[str] = []

        def run(argv: list[str], **options: object) -> proc.Result:
            words = " ".join(argv[4:])
            told.append(words)
            return proc.Result(tuple(argv), 0, answers.get(words, ""), "")

        monkeypatch.setattr(proc, "run", run)
        monkeypatch.setattr("shutil.which", lambda name, **options: f"/usr/bin/{name}")
        return told

    def test_a_disk_without_a_machine_is_removed_and_that_of_a_machine_is_not(
        self, plan: Plan, virsh: list[str]
    ) -> None:
        orphan = f"k8s-lab-{plan.uuid[:8]}-w1-k8s.img"
        assert libvirt.Libvirt().remove_leftovers(plan) == [f"disk {orphan}"]
        assert [words for words in virsh if words.startswith("vol-delete")] == [f"vol-delete --pool labctl {orphan}"]

    def test_a_domain_of_the_same_name_that_is_not_ours_is_a_problem(self, plan: Plan, virsh: list[str]) -> None:
        problems = libvirt.Libvirt().problems(plan)
        assert [problem.what for problem in problems] == [
            f"a virtual machine called k8s-lab-{plan.uuid[:8]}-m-k8s exists and is not of this lab; it is left alone"
        ]
        assert "virsh domrename" in problems[0].fix


class TestFirstConnection:
    def test_the_keys_of_the_one_connection_are_what_is_pinned(self) -> None:
        text = "[127.0.0.1]:60010 ssh-ed25519 AAAA\n# comment\n\n192.168.56.10 ssh-rsa BBBB extra\n"
        assert ssh_access.host_keys_in(text) == ("ssh-ed25519 AAAA", "ssh-rsa BBBB")
