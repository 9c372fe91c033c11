"""A JupyterLab server and a Chromium page, for the tests that need both."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tools import notebooks

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Return the system's Chromium; without one, skip, or fail in CI."""
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if found:
        return found
    say = "no Chromium found: install it, or set CHROMIUM to its path"
    pytest.fail(say) if os.environ.get("CI") else pytest.skip(say)


@contextlib.contextmanager
def chrome():
    """Start the system's Chromium; yield it as Playwright's browser."""
    from playwright.sync_api import sync_playwright

    found = chromium()
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=found, args=OPTIONS)
        yield running
        running.close()


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def lab(folder: Path, *, theme: str = "JupyterLab Light"):
    """Serve copies of the notebooks and figures; yield the server's address.

    Settings, workspaces and configuration are the test's own.
    """
    for name in ("notebooks", "figures", "experiments"):
        shutil.copytree(notebooks.ROOT / name, folder / "root" / name)
    shutil.rmtree(folder / "root" / "notebooks" / "source")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text(
        json.dumps({"theme": theme})
    )
    port = free_port()
    log = (folder / "lab.log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ServerApp.token=",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}",
            f"--ServerApp.root_dir={folder / 'root'}",
            "--LabApp.expose_app_in_browser=True",
        ],
        env={
            **os.environ,
            "ATTN_QUICK": os.environ.get("ATTN_QUICK", "1"),  # 0: in full
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        },
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api", timeout=5)
                break
            time.sleep(0.5)
        else:
            pytest.fail((folder / "lab.log").read_text())
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


class Lesson:
    """A lesson that is open in JupyterLab, driven as a learner would."""

    def __init__(self, page, address: str, name: str) -> None:
        self.page = page
        self.name = name
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.set_default_timeout(120_000)
        page.on("console", self._console)
        page.on("request", lambda r: self._request(r.url, address))
        page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext"
            "?.session?.kernel?.connectionStatus === 'connected'"
        )
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")

    def _console(self, message) -> None:
        where = message.location.get("url", "")
        if message.type == "error" and "favicon" not in where:
            self.errors.append(f"{message.text} ({where})")

    def _request(self, url: str, address: str) -> None:
        inside = (address, address.replace("http", "ws"), "data:", "blob:")
        if not url.startswith(inside):
            self.outside.append(url)

    def run_all(self) -> None:
        """Run All Cells, and wait until the last one is done."""
        self.page.set_default_timeout(1_200_000)
        self.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
        )
        self.page.set_default_timeout(60_000)

    def cells(self) -> list[dict]:
        """Return type, source, tags and outputs of every cell."""
        return self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.map(
              (cell) => ({
                type: cell.model.type,
                source: cell.model.sharedModel.getSource(),
                tags: cell.model.getMetadata('tags') || [],
                outputs: cell.model.outputs ? cell.model.outputs.toJSON() : [],
              }))"""
        )

    def show(self, number: int) -> None:
        """Scroll to a cell; JupyterLab draws only those near the screen."""
        self.page.evaluate(
            """async (number) => {
              const book = window.jupyterapp.shell.currentWidget.content;
              book.activeCellIndex = number;
              await book.scrollToItem(number, 'start');
            }""",
            number,
        )
        self.page.wait_for_selector(
            f'.jp-Cell[data-windowed-list-index="{number}"]'
        )

    def cell(self, number: int):
        """Return the cell's element on the page, scrolled into view."""
        self.show(number)
        return self.page.locator(
            f'.jp-Cell[data-windowed-list-index="{number}"]'
        )

    def write_and_run(self, number: int, source: str) -> str:
        """Put a text into a cell, run it, and return what it shows."""
        self.show(number)
        self.page.evaluate(
            """async ([number, source]) => {
              const app = window.jupyterapp;
              const book = app.shell.currentWidget.content;
              book.activeCellIndex = number;
              book.activeCell.model.sharedModel.setSource(source);
              await app.commands.execute('notebook:run-cell');
            }""",
            [number, source],
        )
        return said(self.cells()[number])


def wait_until(true, seconds: float = 30) -> None:
    """Ask again and again until it is true, or the time is over."""
    start = time.perf_counter()
    while not true() and time.perf_counter() - start < seconds:
        time.sleep(0.02)


def said(cell: dict) -> str:
    """Return the plain text of a cell's outputs."""
    parts = []
    for output in cell["outputs"]:
        text = output.get("data", {}).get("text/plain", output.get("text", ""))
        parts.append(text if isinstance(text, str) else "".join(text))
    return "\n".join(parts)
