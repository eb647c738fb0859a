"""Signing in with an identity provider in a browser: there and back, and what an owner sees of who came."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.api.test_oidc import with_provider
from tests.provider import Provider, providing
from tests.server import Server
from tests.web.looking import DESKTOP, PATIENCE, grave_findings, opened, sign_in


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as started:
        started.who = {"sub": "id-of-grace", "preferred_username": "grace"}
        yield started


@pytest.fixture(scope="module")
def guarded(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with with_provider(tmp_path_factory.mktemp("oidc"), provider) as started:
        yield started


def test_somebody_signs_in_with_the_provider_and_is_given_a_role_that_counts_at_once(
    browser: Browser, guarded: Server
) -> None:
    with (
        browser.new_context(base_url=guarded.url, viewport=DESKTOP) as hers,
        browser.new_context(base_url=guarded.url, viewport=DESKTOP) as his,
    ):
        hers.set_default_timeout(PATIENCE)
        his.set_default_timeout(PATIENCE)
        grace, owner = hers.new_page(), his.new_page()
        grace.goto("/sign-in")
        button = grace.get_by_role("button", name="Sign in with Example ID")
        expect(button).to_be_visible()
        assert grave_findings(grace) == []
        button.click()
        expect(grace.get_by_role("heading", name="Dashboard")).to_be_visible()
        assert "code=" not in grace.url
        expect(grace.get_by_role("link", name="Audit")).to_have_count(0)
        sign_in(owner, guarded.password)
        row = opened(owner, "/accounts").get_by_role("row", name=re.compile("grace"))
        expect(row).to_contain_text("id-of-grace")
        expect(row.get_by_role("button", name="New password")).to_have_count(0)
        with guarded.local() as local:
            account = next(each for each in local.get("/accounts").json()["items"] if each["name"] == "grace")
            local.patch(f"/accounts/{account['id']}", json={"role": "auditor"}).raise_for_status()
        opened(grace, "/peers")
        expect(grace.get_by_role("link", name="Audit")).to_be_visible()


def test_who_comes_back_without_having_begun_is_told_and_not_signed_in(browser: Browser, guarded: Server) -> None:
    with browser.new_context(base_url=guarded.url, viewport=DESKTOP) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto("/signed-in?code=12345678901234567890&state=x")
        expect(page.get_by_role("alert")).to_contain_text("was not begun in this browser")
        page.goto("/signed-in?error=access_denied&state=x")
        expect(page.get_by_text("without signing you in")).to_be_visible()
        page.get_by_role("link", name="Back to the page").click()
        expect(page.get_by_role("button", name="Sign in with Example ID")).to_be_visible()
        assert [each["name"] for each in context.cookies()] == []


def test_without_a_provider_the_page_offers_none(browser: Browser, server: Server) -> None:
    with browser.new_context(base_url=server.url, viewport=DESKTOP) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        with page.expect_response(re.compile("/session/oidc$")) as asked:
            page.goto("/sign-in")
        assert asked.value.status == 404
        expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        expect(page.get_by_role("button", name="Sign in with")).to_have_count(0)
