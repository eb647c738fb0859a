"""A person makes a mesh in the UI: real hosts enroll with what it shows, appear in it, and reach each other."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from lab.backend import Backend
from lab.host import Host
from lab.mesh import Member
from tests.e2e.observing import await_reach, await_silence
from tests.web.looking import PATIENCE, sign_in
from tests.web.test_journeys import in_window

pytestmark = pytest.mark.timeout(170)


@contextmanager
def browser_on(host: Host, folder: Path) -> Iterator[Browser]:
    """Chromium in the network of a host."""
    program = folder / "chromium"
    inside = " ".join(host.entering([shutil.which("chromium") or "chromium"]))
    program.write_text(f'#!/bin/sh\nexec {inside} "$@"\n')
    program.chmod(0o700)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def added(backend: Backend, page: Page, host: Host, endpoint: str = "") -> Member:
    """A peer that is made in the first step that waits, and its host, which enrolls as the window says."""
    page.get_by_role("button", name="New peer").first.click()
    form = in_window(page, "New peer")
    form.get_by_role("textbox", name="Name").fill(host.name)
    if endpoint:
        form.get_by_label("Endpoint").fill(endpoint)
    form.get_by_role("button", name="Create").click()
    handed: Any = in_window(page, "Shown only now")
    expect(handed.get_by_label("On the host, as root")).to_contain_text(f"--server {backend.url}")
    backend.enroll(host, handed.get_by_label("Enrollment token").inner_text().strip())
    expect(handed.get_by_text("The host is here.")).to_be_visible()
    handed.get_by_role("button", name="I have it").click()
    return backend.run_agent(host, "office")


def test_two_hosts_join_by_the_ui_are_seen_in_it_and_one_is_taken_out(backend: Backend, tmp_path: Path) -> None:
    lab = backend.lab
    hosts = lab.host("gw", address="198.51.100.7"), lab.host("laptop", behind=lab.nat("home"))
    password = backend.server.output.partition("password  ")[2].split()[0]
    with browser_on(backend.host, tmp_path) as browser:
        page = browser.new_context(base_url=backend.url, ignore_https_errors=True).new_page()
        page.set_default_timeout(PATIENCE)
        sign_in(page, password)
        page.get_by_role("button", name="New network").click()
        form = in_window(page, "New network")
        form.get_by_role("textbox", name="Name").fill("office")
        form.get_by_role("button", name=re.compile("Next free range")).click()
        form.get_by_role("button", name="Create").click()
        expect(form).to_have_count(0)
        gw = added(backend, page, hosts[0], f"{hosts[0].ipv4}:51820")
        laptop = added(backend, page, hosts[1])
        backend.settle()
        await_reach(laptop.host, gw.ipv4, gw.ipv6)

        page.goto("/peers")
        for member in (gw, laptop):
            row = page.get_by_role("row", name=re.compile(member.name))
            expect(row).to_contain_text("Online")
            expect(row).to_contain_text(member.ipv4)
        page.get_by_role("link", name="laptop").click()
        expect(page.get_by_role("heading", level=1, name="laptop")).to_be_visible()
        page.get_by_role("button", name="Delete peer").click()
        in_window(page, "Delete peer").get_by_role("button", name="Delete peer").click()
        expect(page.get_by_role("link", name="laptop")).to_have_count(0)
        await_silence(laptop.host, gw.ipv4)
    backend.members.pop("laptop")
