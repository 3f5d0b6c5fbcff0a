"""What the drill clock-skew wants in the end, beside checks of `labctl verify`."""

import pytest


@pytest.mark.check(id="drill.kept_right", layer="machine")
def test_the_clock_is_kept_right(host, lab_vars):
    if lab_vars["inventory_hostname"] != lab_vars["drill_worker"]:
        pytest.skip("not applicable: the drill is about another node")
    told = dict(line.split("=", 1) for line in host.run("timedatectl show").stdout.splitlines())
    # A node without such a service keeps its clock as it is; a goal that applies nowhere would never be reached.
    assert told["NTP"] == "yes" or told["CanNTP"] != "yes", "time synchronisation is off"
