"""Every row of the book that a lab of container nodes can show, on the profiles `modern` and `book`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.lab.state import open_lab
from tests.book.reader import minor_of, type_book
from tests.book.rows import read_rows
from tests.e2e.conftest import User
from tests.selection.labs import record_lab

pytestmark = [pytest.mark.real, pytest.mark.book, pytest.mark.full_only, pytest.mark.inputs("tests/book")]

LAB = """\
version: 1
name: book-{profile}
profile: {profile}
provider: container
network: {{subnet: auto}}
"""


@pytest.fixture(params=["modern", "book"])
def user(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[User]:
    """Somebody with a lab of this profile; LABCTL_BOOK_HOME names the directory of one that is there."""
    if named := os.environ.get("LABCTL_BOOK_HOME"):
        if open_lab(Path(named) / "lab.yml").plan.profile != request.param:
            pytest.skip(f"the lab of {named} has another profile")
        yield User(Path(named))
        return
    user = User(tmp_path)
    (tmp_path / "lab.yml").write_text(LAB.format(profile=request.param))
    try:
        user.good("provision", "--yes", "--progress", "plain")
        record_lab(tmp_path, __file__)
        yield user
    finally:
        user.run("destroy", "--yes", timeout=300)


@pytest.mark.takes(240)
def test_every_row_shows_what_the_book_shows(user: User) -> None:
    type_book(user, minor_of(user), [row for row in read_rows() if row.is_run])
    assert user.json("verify")["ok"]
