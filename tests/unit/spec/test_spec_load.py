"""lab.yml is loaded strictly: every problem at once, each with line, field and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import ExitCode, SpecError
from orchestrator.spec import Override, load, parse, profiles


def refused(text: str, *overrides: Override) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse(text, overrides=overrides)
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value


# what is written, where the problem stands, what it says, the fix
BAD = [
    pytest.param("workers: {count: -1}", "lab.yml:1 workers.count", "-1 is below 0", "0 or more", id="minus-one"),
    pytest.param(
        "workers:\n  count: 300",
        "lab.yml:2 workers.count",
        "300 workers do not fit",
        "write 0 to 154",
        id="300-workers",
    ),
    pytest.param(
        "wrokers: {count: 1}", "lab.yml:1 wrokers", "unknown key", "did you mean `workers`?", id="unknown-key"
    ),
    pytest.param(
        "workers: {memroy: 1}", "lab.yml:1 workers.memroy", "unknown key", "did you mean `memory`?", id="unknown-inner"
    ),
    pytest.param("memory: 1", "lab.yml:1 memory", "unknown key", "`control_plane.memory`", id="key-of-another-block"),
    pytest.param("workers: {count: '3'}", "lab.yml:1 workers.count", "not text (3)", "3 without quotes", id="quoted"),
    pytest.param("workers: {count: true}", "lab.yml:1 workers.count", "not true or false", "whole number", id="bool"),
    pytest.param("workers: {count: 1.5}", "lab.yml:1 workers.count", "not a number (1.5)", "whole number", id="float"),
    pytest.param("workers:", "lab.yml:1 workers", "has no value", "leave the line out", id="null"),
    pytest.param(
        "workers: [3]", "lab.yml:1 workers", "block of keys, not a list", "workers: {count", id="list-for-map"
    ),
    pytest.param("name: {a: 1}", "lab.yml:1 name", "must be text, not a block", "write a text", id="map-for-text"),
    pytest.param("- 1\n- 2", "lab.yml:1", "must be a map of keys", "workers: {count: 3}", id="list-file"),
    pytest.param("name: a\nname: b", "lab.yml:2 name", "a second time (first in line 1)", "keep one", id="duplicate"),
    pytest.param("name: &a b\nguest: *a", "lab.yml:2 guest", "is an alias", "write the value", id="alias"),
    pytest.param("name: !x b", "lab.yml:1 name", "YAML tag !x", "leave the tag out", id="tag"),
    pytest.param("? [a]\n: 1", "lab.yml:1", "a key must be a word", "key: value", id="list-as-key"),
    pytest.param("version: 2", "lab.yml:1 version", "2 is above 1", "write 1", id="format-version"),
    pytest.param(
        "kubernetes: {version: 1.20}", "lab.yml:1 kubernetes.version", "not a number", 'quotes: "1.20"', id="1.20"
    ),
    pytest.param(
        "kubernetes: {version: v1.20.2}", "lab.yml:1 kubernetes.version", "starts with a v", '"1.20.2"', id="v1.20"
    ),
    pytest.param(
        "kubernetes: {version: latest}", "lab.yml:1 kubernetes.version", "not a Kubernetes version", "auto", id="latest"
    ),
    pytest.param(
        "kubernetes: {runtime: dockre}",
        "lab.yml:1 kubernetes.runtime",
        "not one of",
        "did you mean docker",
        id="runtime",
    ),
    pytest.param(
        "provider: vmware", "lab.yml:1 provider", "not one of auto, virtualbox", "write one of", id="provider"
    ),
    pytest.param("name: My Lab", "lab.yml:1 name", "not a DNS label", "k8s-lab", id="lab-name"),
    pytest.param(
        "control_plane: {memory: 512}",
        "lab.yml:1 control_plane.memory",
        "512 is below 1700 MB",
        "1700 or more",
        id="mem",
    ),
    pytest.param("control_plane: {cpus: 1}", "lab.yml:1 control_plane.cpus", "1 is below 2 CPUs", "cpus: 2", id="cpus"),
    pytest.param(
        "workers: {memory: 300}", "lab.yml:1 workers.memory", "300 is below 768 MB", "768 or more", id="w-mem"
    ),
    pytest.param(
        "network: {subnet: 172.16.9.0/24}",
        "lab.yml:1 network.subnet",
        "pod network 172.16.0.0/16 overlaps",
        "disjoint",
        id="pods-and-nodes",
    ),
    pytest.param(
        "kubernetes: {service_cidr: 172.16.0.0/12}",
        "lab.yml:1 kubernetes.service_cidr",
        "overlaps the pod network",
        "disjoint",
        id="pods-and-services",
    ),
    pytest.param(
        "kubernetes: {service_cidr: 10.96.0.1/12}",
        "lab.yml:1 kubernetes.service_cidr",
        "has host bits set",
        "write 10.96.0.0/12",
        id="host-bits",
    ),
    pytest.param(
        "kubernetes: {pod_cidr: 172.16.0.0/23}",
        "lab.yml:1 kubernetes.pod_cidr",
        "room for 2 nodes",
        "larger",
        id="pods",
    ),
    pytest.param(
        "kubernetes: {service_cidr: 10.0.0.0/8}", "lab.yml:1 kubernetes.service_cidr", "/12 to /27", "10.96", id="svc"
    ),
    pytest.param(
        "network: {control_plane_offset: 255}", "lab.yml:1 network.control_plane_offset", "outside", "2 to 254", id="cp"
    ),
    pytest.param(
        "network: {worker_offset: 8}", "lab.yml:1 network.worker_offset", "3 workers do not fit", "0 to 2", id="overlap"
    ),
    pytest.param(
        "network: {ssh_port_base: 65500}", "lab.yml:1 network.ssh_port_base", "65500 to 65593", "60010", id="ssh-ports"
    ),
    pytest.param(
        "kubernetes: {api_port: 60101}", "lab.yml:1 kubernetes.api_port", "SSH port", "another", id="api-port"
    ),
    pytest.param(
        "network: {resolvers: [one]}", "lab.yml:1 network.resolvers.0", "not an IPv4", "1.1.1.1", id="resolver"
    ),
    pytest.param("names: {worker: worker}", "lab.yml:1 names.worker", "one {i} in it", "w{i}-k8s", id="pattern"),
    pytest.param("names: {control_plane: w1-k8s}", "lab.yml:1 names.control_plane", "worker too", "differ", id="names"),
    pytest.param(
        "packages: {source: mirror}", "lab.yml:1 packages.source", "needs the URL", "mirror: {url", id="mirror"
    ),
    pytest.param(
        "packages: {source: system}", "lab.yml:1 packages.source", "has no Kubernetes", "profile `bare`", id="system"
    ),
    pytest.param("http_proxy: ftp://x", "lab.yml:1 http_proxy", "not an http or https URL", "http://", id="proxy"),
    pytest.param("packages: {checksums: {a: b}}", "lab.yml:1 packages.checksums.a", "sha256", "sha256sum", id="sum"),
    pytest.param("packages: {base: ['a b']}", "lab.yml:1 packages.base.0", "not a package name", "vim", id="package"),
    pytest.param("box: {version: '1.0'}", "lab.yml:1 box", "has no name", "add `name`", id="box-name"),
    pytest.param("box: {name: a/b}", "lab.yml:1 box", "by nothing, or twice", "`version`, or", id="box-source"),
    pytest.param(
        "box: {name: a/b, url: 'https://x.invalid/a.box'}", "lab.yml:1 box", "no sum", "box import URL", id="box-sum"
    ),
    pytest.param("box: {name: a b, version: '1'}", "lab.yml:1 box.name", "name of a Vagrant box", "bento", id="box"),
    pytest.param('names: {suffix: "$(x)"}', "lab.yml:1 names.suffix", "dollar", "leave them out", id="shell"),
]


@pytest.mark.parametrize(("text", "where", "what", "fix"), BAD)
def test_bad_input_is_refused_with_place_reason_and_fix(text: str, where: str, what: str, fix: str) -> None:
    problems = refused(text).problems
    assert len(problems) == 1, [str(problem) for problem in problems]
    assert problems[0].where == where
    assert what in problems[0].what
    assert fix in problems[0].fix


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("workers:\n\tcount: 3", "lab.yml:2: not valid YAML"),
        ("a: [1", "not valid YAML"),
        ("--- 1\n--- 2", "another document"),
        ("[" * 5000, "nested too deeply"),
        ("a: " + "x" * 70000, "larger than 64 KiB"),
    ],
)
def test_text_that_is_not_yaml_is_refused_in_one_sentence(text: str, what: str) -> None:
    error = refused(text)
    assert what in error.message
    assert error.fix


def test_an_alias_bomb_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert any("is an alias" in problem.what for problem in refused("\n".join(lines)).problems)


def test_all_problems_are_reported_at_once() -> None:
    error = refused(
        "nmae: x\nworkers: {count: '3', memory: 10}\ncontrol_plane: {cpus: 1}\nnetwork: {subnet: 10.96.0.0/24}"
    )
    assert {problem.where.split(" ")[-1] for problem in error.problems} == {
        "nmae",
        "workers.count",
        "workers.memory",
        "control_plane.cpus",
        "network.subnet",
    }
    assert error.message == "lab.yml has 5 problems"


def test_a_refused_value_does_not_cause_follow_up_problems() -> None:
    assert len(refused("network: {subnet: 172.16.0.0/99}").problems) == 1


SUM = "A" * 43

# a value of book.root_password with SECRET in it, what is said, the fix
BAD_PASSWORDS = [
    pytest.param("SECRE", "shorter than 6 or longer than 64", "another password", id="short"),
    pytest.param("SECRET" * 11, "shorter than 6 or longer than 64", "another password", id="long"),
    pytest.param("my SECRET", "a character that a password here may not have", "letters, digits", id="blank"),
    pytest.param("'SECRET\\n'", "a character that", "letters, digits", id="backslash"),
    pytest.param("[SECRET]", "must be text, not a list", "write a text", id="list"),
    pytest.param("{SECRET: 1}", "must be text, not a block of keys", "write a text", id="block"),
]


@pytest.mark.parametrize(("value", "what", "fix"), BAD_PASSWORDS)
def test_a_bad_root_password_is_refused_and_not_repeated(value: str, what: str, fix: str) -> None:
    (problem,) = refused(f"profile: book\nbook:\n  root_password: {value}").problems
    assert problem.where == "lab.yml:3 book.root_password"
    assert what in problem.what
    assert fix in problem.fix
    assert "SECRE" not in str(problem)


def test_a_number_as_root_password_is_refused_and_not_repeated() -> None:
    (problem,) = refused("profile: book\nbook: {root_password: 123456}").problems
    assert problem.fix == 'put it in quotes: "***"'
    assert "123456" not in str(problem)


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("profile: book-2", "root has no password in the profile `book-2`", "write profile: book, or remove it"),
        ("", "root has no password in the profile `modern`", "write profile: book, or remove it"),
        (
            f"profile: book\nprovider: static\nworkers: {{count: 0}}\nstatic: {{hosts: [u@192.168.1.10 SHA256:{SUM}]}}",
            "machines of the provider `static` keep the passwords that they have",
            "remove it",
        ),
    ],
    ids=["book-2", "modern", "static"],
)
def test_root_has_a_password_in_the_profile_book_alone(text: str, what: str, fix: str) -> None:
    (problem,) = refused(f"book: {{root_password: vagrant}}\n{text}").problems
    assert (problem.where, problem.what, problem.fix) == ("lab.yml:1 book.root_password", what, fix)


def test_a_root_password_is_not_shown_with_the_lab() -> None:
    lab = parse("profile: book\nbook: {root_password: vagrant}").lab
    assert lab.book.root_password
    assert lab.book.root_password.get_secret_value() == "vagrant"
    assert "vagrant" not in f"{lab} {lab!r}"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}", "\ufeff"])
def test_an_empty_file_is_all_defaults(text: str, tmp_path: Path) -> None:
    file = tmp_path / "lab.yml"
    file.write_text(text, encoding="utf-8")
    assert load(file).lab == load(None).lab


def test_the_defaults_are_the_lab_of_the_book_on_a_subnet_that_collides_with_nothing() -> None:
    lab = load(None).lab
    assert (lab.name, lab.profile, lab.provider) == ("k8s-lab", "modern", "auto")
    assert (lab.control_plane.cpus, lab.control_plane.memory) == (2, 3072)
    assert (lab.workers.count, lab.workers.cpus, lab.workers.memory) == (3, 1, 2560)
    assert (lab.network.subnet, lab.network.ssh_port_base) == ("192.168.56.0/24", 60010)


class TestFile:
    def test_a_directory_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="is a directory"):
            load(tmp_path)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="does not exist"):
            load(tmp_path / "lab.yml")

    def test_an_unreadable_file_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "lab.yml"
        file.write_text("name: a")

        def denied(*_: object, **__: object) -> object:
            raise PermissionError(13, "Permission denied")

        # Root may read everything, so the refusal itself is what is made up here.
        monkeypatch.setattr(Path, "open", denied)
        with pytest.raises(SpecError, match="Permission denied") as caught:
            load(file)
        assert caught.value.fix.startswith("chmod")

    def test_other_encodings_are_refused_with_their_line(self, tmp_path: Path) -> None:
        file = tmp_path / "lab.yml"
        file.write_bytes(b"version: 1\nname: caf\xe9\n")
        with pytest.raises(SpecError, match=r"lab.yml:2: not UTF-8"):
            load(file)

    def test_a_huge_file_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "lab.yml"
        file.write_bytes(b"# \n" * 100_000)
        with pytest.raises(SpecError, match="larger than 64 KiB"):
            load(file)

    def test_a_device_is_refused(self) -> None:
        with pytest.raises(SpecError, match="not a regular file"):
            load(Path("/dev/zero"))


class TestOverride:
    def test_it_wins_and_counts_as_explicit(self) -> None:
        spec = parse("workers: {count: 2}", overrides=[Override("workers.count", 1, "--workers")])
        assert spec.lab.workers.count == 1
        assert spec.is_explicit("workers.count")
        assert (spec.at("workers.count"), spec.why("workers.count")) == ("--workers", "--workers")

    def test_its_problem_names_the_option(self) -> None:
        assert (
            refused("workers: {count: 2}", Override("workers.count", 300, "--workers")).problems[0].where == "--workers"
        )

    def test_it_chooses_the_profile(self) -> None:
        assert parse("", overrides=[Override("profile", "bare", "--profile")]).lab.kubernetes.enabled is False


class TestProfile:
    def test_each_is_valid_by_itself(self) -> None:
        for name in profiles():
            assert parse(f"profile: {name}").lab.profile == name

    def test_book_has_the_books_values(self) -> None:
        lab = parse("profile: book").lab
        assert lab.network.subnet == "192.168.1.0/24"
        assert lab.names.suffix == "(github_SysNet4Admin)"
        assert lab.virtualbox.group == "/k8s-SgMST-1.13.1(github_SysNet4Admin)"
        assert lab.network.resolvers == ("1.1.1.1", "8.8.8.8")
        assert (lab.kubernetes.version, lab.kubernetes.runtime) == ("oldest", "docker")

    def test_bare_has_chapter_twos_sizes_and_no_kubernetes(self) -> None:
        lab = parse("profile: bare").lab
        assert (lab.control_plane.memory, lab.workers.memory, lab.kubernetes.enabled) == (2048, 1024, False)

    def test_book_2_is_bare_with_the_books_names_addresses_and_login(self) -> None:
        lab, book, bare = (parse(f"profile: {name}").lab for name in ("book-2", "book", "bare"))
        assert (lab.network, lab.names, lab.virtualbox, lab.login) == (
            book.network, book.names, book.virtualbox, "root"
        )  # fmt: skip
        assert (lab.kubernetes, lab.control_plane, lab.workers) == (bare.kubernetes, bare.control_plane, bare.workers)

    def test_its_values_are_not_the_users(self) -> None:
        spec = parse("profile: book\nworkers: {count: 1}")
        assert spec.explicit == {"profile", "workers.count"}
        assert spec.why("network.subnet") == "profile book"

    def test_lab_yml_wins_over_it(self) -> None:
        assert parse("profile: book\nnetwork: {subnet: 192.168.56.0/24}").lab.network.subnet == "192.168.56.0/24"


@pytest.mark.parametrize(("count", "good"), [(0, True), (1, True), (154, True), (155, False)])
def test_a_slash_24_holds_154_workers(count: int, good: bool) -> None:
    if good:
        assert parse(f"workers: {{count: {count}}}").lab.workers.count == count
    else:
        refused(f"workers: {{count: {count}}}")


def test_the_examples_are_valid() -> None:
    examples = sorted((Path(__file__).resolve().parents[3] / "examples").glob("*.yml"))
    assert len(examples) >= 6
    for file in examples:
        load(file)
