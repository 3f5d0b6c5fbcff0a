"""The HTML reports in docs/examples as a browser shows them: complete, without errors, wide enough for a projector."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browse(home: Path, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a headless browser without any network."""
    argv = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}/profile"]
    argv += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--hide-scrollbars", *options]
    return subprocess.run([*argv, page.as_uri()], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this host")
@pytest.mark.parametrize("name", ["verify-healthy", "verify-broken"])
def test_a_browser_shows_the_whole_page_without_an_error(tmp_path: Path, name: str) -> None:
    page = tmp_path / "page.html"
    # The document's own width, told by the browser: a page that scrolls sideways cannot be projected.
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"
    page.write_text((EXAMPLES / f"{name}.html").read_text().replace("</body>", probe))
    shown = browse(tmp_path, page, "--window-size=1280,720", "--dump-dom")
    assert shown.returncode == 0, shown.stderr
    assert "CONSOLE" not in shown.stderr
    wide = re.search(r"<title>(\d+) of (\d+)</title>", shown.stdout)
    assert wide, shown.stdout[:400]
    assert int(wide[1]) <= int(wide[2])
    for layer in ("host", "machine", "system", "runtime", "kubelet", "control plane", "network", "dns", "workload"):
        assert re.search(rf"<th[^>]*>\s*{layer}\s*</th>", shown.stdout), f"no row {layer}"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this host")
def test_the_screenshot_in_the_docs_is_what_the_browser_draws(tmp_path: Path) -> None:
    shot = tmp_path / "shot.png"
    browse(tmp_path, EXAMPLES / "verify-broken.html", "--window-size=1280,1600", f"--screenshot={shot}")
    held = (EXAMPLES / "verify-broken.png").read_bytes()
    assert held[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", held[16:24]) == struct.unpack(">II", shot.read_bytes()[16:24])
