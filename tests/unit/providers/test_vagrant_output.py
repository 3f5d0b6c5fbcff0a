"""What Vagrant prints for machines becomes steps for people; what it refuses becomes a cause and a fix."""

from __future__ import annotations

import pytest

from orchestrator.providers.vagrant.output import Reader, failure, parse


def test_commas_and_newlines_inside_a_field_are_decoded() -> None:
    line = parse("1700000000,m-k8s,ui,info,one%!(VAGRANT_COMMA) two\\nthree")
    assert line is not None
    assert (line.target, line.kind, line.data) == ("m-k8s", "ui", ("info", "one, two\nthree"))


@pytest.mark.parametrize("noise", ["", "[fog][WARNING] deprecated", "Fontconfig, warning, x", "12,"])
def test_what_is_not_machine_readable_says_nothing(noise: str) -> None:
    assert parse(noise) is None
    assert Reader("create", ["m-k8s"]).step(noise) is None


def test_progress_names_node_and_step_once() -> None:
    reader = Reader("create", ["m-k8s", "w1-k8s"])
    lines = [
        "1,m-k8s,ui,info,==> m-k8s: Importing base box 'x'...",
        "2,m-k8s,ui,info,Progress: 40%",
        "3,m-k8s,ui,info,==> m-k8s: Creating domain with the following settings...",
        "4,m-k8s,ui,info,==> m-k8s: Creating domain with the following settings...",
        "5,w1-k8s,ui,info,==> w1-k8s: Waiting for machine to boot. This may take a few minutes...",
    ]
    steps = [step for line in lines if (step := reader.step(line))]
    assert [(step.node, step.name) for step in steps] == [
        ("m-k8s", "import the box"),
        ("m-k8s", "create the machine"),
        ("w1-k8s", "wait for SSH"),
    ]
    assert reader.last("w1-k8s") == "wait for SSH"


def test_an_error_is_kept_with_its_node_and_is_no_step() -> None:
    reader = Reader("create", ["w1-k8s"])
    assert reader.step("1,w1-k8s,ui,error,VT-x is not available") is None
    assert reader.step("2,,error-exit,Vagrant::Errors::VBoxManageError,VT-x is not available") is None
    assert reader.failed_node == "w1-k8s"
    assert reader.errors == ["VT-x is not available", "VT-x is not available"]


@pytest.mark.parametrize(
    ("said", "cause", "fix"),
    [
        (
            "An action 'up' was attempted on the machine 'm-k8s',\nbut another process is already executing an action",
            "holds its lock",
            "wait",
        ),
        ("VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE).", "KVM holds", "modprobe -r kvm_intel"),
        ("VT-x is not available (VERR_VMX_NO_VMX)", "VT-x", "firmware"),
        (
            "Error -1908 in suplibOsInit!\nKernel driver not installed",
            "kernel driver is not loaded",
            "modprobe vboxdrv",
        ),
        ("bsdtar: Write error: No space left on device", "disk is full", "free space"),
        (
            "The IP address configured for the host-only network is not within the\nallowed ranges.",
            "host-only",
            "networks.conf",
        ),
        ("The forwarded port to 60010 is already in use", "port", "ssh_port_base"),
        ("Name `x` of domain about to create is already taken.", "not of this lab", "rename"),
        ("Timed out while waiting for the machine to boot.", "SSH", "provision"),
        ("The checksum of the downloaded box did not match the expected", "sha256", "box import"),
        (
            "The box 'bento/debian-12' could not be found or\ncould not be accessed in the remote catalog",
            "box",
            "box import",
        ),
        ("The provider 'libvirt' could not be found, but was requested", "plugin", "vagrant-libvirt"),
        ("Error while connecting to Libvirt: Call to virConnectOpen failed", "libvirt does not answer", "libvirtd"),
    ],
)
def test_a_failure_that_people_meet_is_explained_and_cured(said: str, cause: str, fix: str) -> None:
    error = failure("up", said, "m-k8s")
    assert error.message.startswith("m-k8s: up failed: ")
    assert cause in error.message
    assert fix in error.fix


def test_an_unknown_failure_is_said_in_vagrants_words() -> None:
    assert "Something odd" in failure("up", "Something odd\nhappened").message


def test_the_frame_and_the_backtrace_around_a_cause_are_left_out() -> None:
    text = (
        "==> m-k8s: An error occurred. The error will be shown after all tasks complete.\n"
        "An error occurred while executing multiple actions in parallel.\nAny errors that occurred are shown below.\n\n"
        "An unexpected error occurred when executing the action on the\n"
        "'m-k8s' machine. Please report this as a bug:\n\n"
        "Call to virDomainCreateWithFlags failed: Invalid argument\n\n/usr/lib/ruby/fog/vm_action.rb:7:in `create'\n"
    )
    assert failure("up", text).message == (
        "the machines: up failed: Call to virDomainCreateWithFlags failed: Invalid argument"
    )
