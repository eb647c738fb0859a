"""Signing in with an identity provider, over real sockets: who comes in, as whom, and with which tokens."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hmac import digest
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey

from isthmus.server.adapters.http.browser import CSRF_HEADER, FLOW, SESSION, csrf_of
from tests.api.agent import a_name, a_network
from tests.provider import CLIENT, SECRET, Provider, new_key, providing
from tests.server import Server, running

UNKNOWN_IDS = 40
READS = 1_000


@contextmanager
def with_provider(folder: Path, provider: Provider, **more: str) -> Iterator[Server]:
    (folder / "secret").write_text(f"{SECRET}\n")
    settings = {
        "oidc_issuer": provider.url,
        "oidc_client_id": CLIENT,
        "oidc_client_secret_file": str(folder / "secret"),
        "oidc_name": "Example ID",
        "oidc_roles": "mesh-admins=admin,staff=auditor",
    }
    with running(folder / "server", **settings | more) as server:
        yield server


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with providing() as started:
        yield started


@pytest.fixture(scope="module")
def guarded(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a provider; `server` is one with local accounts only."""
    with with_provider(tmp_path_factory.mktemp("oidc"), provider) as started:
        yield started


@pytest.fixture(scope="module")
def owner(guarded: Server) -> Iterator[httpx2.Client]:
    with guarded.local() as client:
        yield client


@dataclass
class Browser:
    """Keeps cookies as a browser does on a page of the server's UI."""

    server: Server
    client: httpx2.Client
    cookies: dict[str, str]

    def request(self, method: str, path: str, **given: Any) -> httpx2.Response:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if SESSION in self.cookies:
            headers[CSRF_HEADER] = csrf_of(self.cookies[SESSION])
        answer = self.client.request(method, path, headers=headers, **given)
        for each in answer.headers.get_list("set-cookie"):
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
            if not self.cookies[name]:
                del self.cookies[name]
        return answer

    def sent_back(self) -> dict[str, str]:
        """Goes to the provider, whose person agrees; what it brings back."""
        begun = self.request("POST", "/session/oidc/start").raise_for_status().json()
        back = httpx2.get(begun["address"], follow_redirects=False).headers["location"]
        assert back.startswith(f"{self.server.url}/signed-in?")
        return {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()}

    def finish(self, brought: dict[str, str]) -> httpx2.Response:
        return self.request("POST", "/session/oidc/finish", json=brought)

    def sign_in(self) -> httpx2.Response:
        return self.finish(self.sent_back())


@contextmanager
def a_browser(server: Server) -> Iterator[Browser]:
    with server.client() as client:
        client.headers["Origin"] = server.url
        yield Browser(server, client, {})


def accounts(owner: httpx2.Client) -> Any:
    return owner.get("/accounts", params={"limit": 1000}).raise_for_status().json()["items"]


def account_of(owner: httpx2.Client, subject: str) -> Any:
    (found,) = [each for each in accounts(owner) if each["identity"] and each["identity"]["subject"] == subject]
    return found


def newest(owner: httpx2.Client) -> int:
    return int(owner.get("/audit", params={"limit": 1}).raise_for_status().json()["items"][0]["number"])


def rows_after(owner: httpx2.Client, number: int) -> list[Any]:
    rows = owner.get("/audit", params={"limit": 50}).raise_for_status().json()["items"]
    return [row for row in rows if row["number"] > number]


@contextmanager
def refused_once(owner: httpx2.Client) -> Iterator[list[httpx2.Response]]:
    """What is appended is a refusal: 401, no state changed, one row of it."""
    before, number, answers = state(owner), newest(owner), list[httpx2.Response]()
    yield answers
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), answer.text
    (row,) = rows_after(owner, number)
    assert (row["outcome"], row["reason"], row["actor"]) == ("denied", "unauthenticated", "anyone")
    assert row["request_id"] == answer.json()["request_id"]
    assert state(owner) == before


def state(owner: httpx2.Client) -> Any:
    kept = {path: owner.get(path, params={"limit": 1000}).json()["items"] for path in ("/networks", "/tokens")}
    return accounts(owner), kept["/networks"], [each["id"] for each in kept["/tokens"]]


@pytest.mark.case("SEED-058", "SEED-092")
def test_local_accounts_need_no_setting_and_know_of_no_provider(server: Server, provider: Provider) -> None:
    with server.client() as client, server.local() as owner:
        assert client.get("/session/oidc").status_code == 404
        for step, body in (("start", None), ("finish", {"code": "c", "state": "s"})):
            assert client.post(f"/session/oidc/{step}", json=body).status_code == 404
        made = owner.post("/accounts", json={"username": a_name("ann"), "role": "user"}).raise_for_status().json()
        assert made["account"]["identity"] is None
        body = {"username": made["account"]["name"], "password": made["password"]}
        token = client.post("/auth/login", json=body).raise_for_status().json()["token"]
        with server.client(token) as ann:
            assert ann.get("/networks").status_code == 200
        with refused_once(owner) as refused, server.client(provider.token()) as stranger:
            refused.append(stranger.get("/networks"))


@pytest.mark.case("SEED-092")
def test_local_accounts_sign_in_beside_a_provider(guarded: Server, owner: httpx2.Client) -> None:
    made = owner.post("/accounts", json={"username": a_name("ann"), "role": "auditor"}).raise_for_status().json()
    body = {"username": made["account"]["name"], "password": made["password"]}
    with guarded.client() as client:
        token = client.post("/auth/login", json=body).raise_for_status().json()["token"]
    with guarded.client(token) as ann:
        assert ann.get("/networks").status_code == 200


@pytest.mark.case("SEED-058")
def test_who_signs_in_appears_with_the_least_role_and_what_an_operator_makes_of_it_counts_at_once(
    guarded: Server, owner: httpx2.Client, provider: Provider
) -> None:
    provider.who = {"sub": "id-of-grace", "preferred_username": "grace", "groups": ["nobody-knows-it"]}
    before, networks = newest(owner), [a_network(owner)["id"] for _ in range(2)]
    before = newest(owner)
    with a_browser(guarded) as browser:
        assert browser.request("GET", "/session/oidc").json() == {"name": "Example ID"}
        assert browser.sign_in().json()["user"]["name"] == "grace"
        account = account_of(owner, "id-of-grace")
        assert account["identity"] == {"issuer": provider.url, "subject": "id-of-grace"}
        assert (account["name"], account["role"], account["networks"]) == ("grace", "user", [])
        made, issued = rows_after(owner, before)[::-1]
        assert (made["action"], made["subject"], issued["action"]) == ("account.create", account["id"], "token.create")
        assert made["facts"]["identity"] == account["identity"]

        def seen() -> list[str]:
            return [each["id"] for each in browser.request("GET", "/networks").json()["items"]]

        assert seen() == []
        body = {"name": a_name("net")}
        assert browser.request("POST", "/networks", json=body).status_code == 403
        session = browser.cookies[SESSION]
        path = f"/accounts/{account['id']}"
        owner.patch(path, json={"networks": networks[:1]}).raise_for_status()
        assert seen() == networks[:1]
        owner.patch(path, json={"role": "network_admin", "networks": networks[1:]}).raise_for_status()
        assert seen() == networks[1:]
        change = browser.request("PATCH", f"/networks/{networks[1]}", json={"mtu": 1380})
        assert change.status_code == 200
        owner.patch(path, json={"role": "admin"}).raise_for_status()
        assert browser.request("POST", "/networks", json=body).status_code == 201
        assert browser.cookies[SESSION] == session
    with guarded.client(provider.token("id-of-grace")) as script:
        assert "admin" in script.get("/auth/me").json()["scopes"]
        owner.patch(path, json={"role": "auditor"}).raise_for_status()
        assert script.post("/networks", json={"name": a_name("net")}).status_code == 403
        # What an operator has said stays, whatever the provider says at the next sign-in.
        provider.who["groups"] = ["mesh-admins"]
        with a_browser(guarded) as again:
            again.sign_in().raise_for_status()
        assert account_of(owner, "id-of-grace")["role"] == "auditor"


@pytest.mark.case("SEED-058", "SEED-092")
def test_who_is_disabled_is_out_with_session_and_token_and_does_not_come_in_again(
    guarded: Server, owner: httpx2.Client, provider: Provider
) -> None:
    provider.who = {"sub": "id-of-mallory"}
    with a_browser(guarded) as browser, guarded.client(provider.token("id-of-mallory")) as script:
        browser.sign_in().raise_for_status()
        assert script.get("/networks").status_code == browser.request("GET", "/networks").status_code == 200
        account = account_of(owner, "id-of-mallory")
        owner.patch(f"/accounts/{account['id']}", json={"disabled": True}).raise_for_status()
        calls: list[Callable[[], httpx2.Response]] = [
            lambda: script.get("/networks"),
            lambda: browser.request("GET", "/networks"),
            lambda: a_sign_in(guarded),
        ]
        for call in calls:
            with refused_once(owner) as refused:
                refused.append(call())


def a_sign_in(server: Server) -> httpx2.Response:
    with a_browser(server) as browser:
        return browser.sign_in()


def test_the_first_role_is_that_of_the_first_group_that_has_one_and_names_are_not_shared(
    guarded: Server, owner: httpx2.Client, provider: Provider
) -> None:
    expected: dict[str, tuple[dict[str, Any], str, str]] = {
        "id-1": ({"groups": ["staff", "mesh-admins"], "preferred_username": "admin"}, "admin", "admin-2"),
        "id-2": ({"groups": "staff", "preferred_username": "admin"}, "auditor", "admin-3"),
        "id-3": ({"groups": ["Staff"], "email": "eve@b.example"}, "user", "eve@b.example"),
        "id-4": ({"groups": {"staff": 1}, "preferred_username": "\u202e\n"}, "user", "id-4"),
    }
    for subject, (claims, role, name) in expected.items():
        with guarded.client(provider.token(subject, **claims)) as script:
            assert script.get("/auth/me").json()["user"]["name"] == name
        assert account_of(owner, subject)["role"] == role


def test_first_calls_at_once_make_one_account(guarded: Server, owner: httpx2.Client, provider: Provider) -> None:
    token = provider.token("id-of-many")
    with guarded.client(token) as script, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: script.get("/auth/me"), range(16)))
    assert {answer.json()["user"]["id"] for answer in answers} == {account_of(owner, "id-of-many")["id"]}


@pytest.mark.case("SEED-092")
def test_a_jwt_of_the_issuer_and_audience_opens_what_its_account_may(
    guarded: Server, owner: httpx2.Client, provider: Provider
) -> None:
    good = {
        "an ID token": provider.token(),
        "an access token": provider.token(header={"typ": "at+jwt"}),
        "one of two audiences": provider.token(aud=["another", CLIENT]),
        "without a time of issue": provider.token(iat=None),
        "of a clock that is a little ahead": provider.token(iat=int(time.time()) + 10),
        "with PSS": provider.token(header={"alg": "PS256"}),
    }
    for kind, token in good.items():
        with guarded.client(token) as script:
            answer = script.get("/networks")
        assert answer.status_code == 200, (kind, answer.text)
    assert account_of(owner, "ada")["role"] == "user"


def part(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(provider: Provider, algorithm: str) -> str:
    _, claims, _ = provider.token().split(".")
    return f"{part({'alg': algorithm, 'kid': provider.keys[-1].kid, 'typ': 'JWT'})}.{claims}"


def by_secret(provider: Provider, secret: bytes) -> str:
    begun = unsigned(provider, "HS256")
    mac = digest(secret, begun.encode(), "sha256")
    return f"{begun}.{urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def altered(provider: Provider) -> str:
    head, _, signature = provider.token().split(".")
    return f"{head}.{provider.token('owner').split('.')[1]}.{signature}"


def by_a_key_for_encryption(provider: Provider) -> str:
    key = new_key()
    provider.extra_keys.append(key.as_dict(private=False) | {"use": "enc"})
    return provider.token(key=key)


STRANGER, CURVE = new_key(), ECKey.generate_key("P-256", {"kid": "curve"})
FLAWS: dict[str, Callable[[Provider], str]] = {
    "algorithm none": lambda of: f"{unsigned(of, 'none')}.",
    "algorithm none with a signature": lambda of: f"{unsigned(of, 'none')}.{of.token().split('.')[2]}",
    "HS256 by the public key": lambda of: by_secret(of, of.keys[-1].as_pem(private=False)),
    "HS256 by the client's secret": lambda of: by_secret(of, SECRET.encode()),
    "a key that the provider does not have": lambda of: of.token(key=STRANGER),
    "a stranger's key under the id of one": lambda of: of.token(key=STRANGER, header={"kid": of.keys[-1].kid}),
    "a stranger's curve under the id of one": lambda of: of.token(key=CURVE, header={"kid": of.keys[-1].kid}),
    "a key that it brings along": lambda of: of.token(key=STRANGER, header={"jwk": STRANGER.as_dict(private=False)}),
    "a key id that is a path": lambda of: of.token(key=STRANGER, header={"kid": "../../dev/null"}),
    "a key for encryption": by_a_key_for_encryption,
    "what another token says": altered,
    "expired": lambda of: of.token(exp=int(time.time()) - 60),
    "without an end": lambda of: of.token(exp=None),
    "an end that is a text": lambda of: of.token(exp=str(int(time.time()) + 600)),
    "not valid yet": lambda of: of.token(nbf=int(time.time()) + 120),
    "issued in the future": lambda of: of.token(iat=int(time.time()) + 120),
    "another issuer": lambda of: of.token(iss="https://id.example"),
    "the issuer with a slash": lambda of: of.token(iss=f"{of.url}/"),
    "another audience": lambda of: of.token(aud="another"),
    "other audiences": lambda of: of.token(aud=["another", f"{CLIENT}x"]),
    "an audience that only contains it": lambda of: of.token(aud=f"{CLIENT} another"),
    "no audience": lambda of: of.token(aud=None),
    "nobody": lambda of: of.token(sub=None),
    "a subject that is a number": lambda of: of.token(sub=7),
    "a logout token": lambda of: of.token(header={"typ": "logout+jwt"}),
    "nested without end": lambda of: f"{part({'alg': 'RS256'})}.{'W1tb' * 2000}.AAAA",
}


@pytest.mark.case("SEED-092")
@pytest.mark.parametrize("flaw", FLAWS)
def test_any_other_jwt_is_refused_changes_nothing_and_is_one_row(
    guarded: Server, owner: httpx2.Client, provider: Provider, flaw: str
) -> None:
    token = FLAWS[flaw](provider)
    with refused_once(owner) as refused, guarded.client(token) as script:
        refused.append(script.post("/networks", json={"name": "planted"}))
    provider.extra_keys.clear()
    # The benign twin.
    with guarded.client(provider.token()) as script:
        assert script.get("/networks").status_code == 200


def without_the_cookie(browser: Browser, brought: dict[str, str]) -> dict[str, str]:
    del browser.cookies[FLOW]
    return brought


def in_another_browser(browser: Browser, brought: dict[str, str]) -> dict[str, str]:
    with a_browser(browser.server) as other:
        other.sent_back()
        browser.cookies = other.cookies
    return brought


def with_a_code_of_another(browser: Browser, brought: dict[str, str]) -> dict[str, str]:
    """The code that somebody else's sign-in has brought: PKCE binds it to that one."""
    with a_browser(browser.server) as other:
        return brought | {"code": other.sent_back()["code"]}


def used_twice(browser: Browser, brought: dict[str, str]) -> dict[str, str]:
    flow = browser.cookies[FLOW]
    browser.finish(brought).raise_for_status()
    browser.cookies = {FLOW: flow}
    return brought


STOLEN: dict[str, Callable[[Browser, dict[str, str]], dict[str, str]]] = {
    "without the cookie of who began it": without_the_cookie,
    "in another browser": in_another_browser,
    "with another state": lambda _, brought: brought | {"state": "A" * 43},
    "with a code of another": with_a_code_of_another,
    "with a code that is none": lambda _, brought: brought | {"code": "none"},
    "a second time": used_twice,
    "of another issuer": lambda _, brought: brought | {"iss": "https://id.example"},
}


@pytest.mark.parametrize("how", STOLEN)
def test_a_sign_in_ends_once_and_in_the_browser_that_began_it(
    guarded: Server, owner: httpx2.Client, provider: Provider, how: str
) -> None:
    provider.who = {"sub": "id-of-victim"}
    a_sign_in(guarded).raise_for_status()
    with a_browser(guarded) as browser:
        brought = STOLEN[how](browser, browser.sent_back())
        with refused_once(owner) as refused:
            refused.append(browser.finish(brought))
        assert SESSION not in browser.cookies


@pytest.mark.parametrize(
    "claims",
    [{"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"aud": [CLIENT, "another"], "azp": "another"}],
    ids=str,
)
def test_an_id_token_that_does_not_answer_this_sign_in_is_refused(
    guarded: Server, owner: httpx2.Client, provider: Provider, claims: dict[str, Any]
) -> None:
    provider.who = {"sub": "id-of-nobody", **claims}
    with a_browser(guarded) as browser:
        brought = browser.sent_back()
        with refused_once(owner) as refused:
            refused.append(browser.finish(brought))


def test_a_page_of_another_origin_begins_and_ends_nothing(guarded: Server) -> None:
    for origin in ("https://evil.example", None):
        with a_browser(guarded) as browser:
            if origin is None:
                del browser.client.headers["Origin"]
            else:
                browser.client.headers["Origin"] = origin
            answer = browser.request("POST", "/session/oidc/start")
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
            assert browser.cookies == {}


def test_the_account_has_no_password_that_somebody_could_know_or_set(
    guarded: Server, owner: httpx2.Client, provider: Provider
) -> None:
    with guarded.client(provider.token("id-of-bob", preferred_username="bob")) as bob:
        body = {"current_password": "", "new_password": "a new long password"}
        assert bob.get("/networks").status_code == 200
        assert bob.put("/auth/password", json=body).json()["code"] == "transition_not_allowed"
    with guarded.client() as client:
        for password in ("nobody", " "):
            assert client.post("/auth/login", json={"username": "bob", "password": password}).status_code == 401
    for path, given in (
        (f"/accounts/{account_of(owner, 'id-of-bob')['id']}/password", None),
        ("/auth/password/reset", {"username": "bob"}),
    ):
        assert owner.post(path, json=given).json()["code"] == "transition_not_allowed"


@pytest.mark.case("SEED-101")
def test_keys_are_read_once_and_anew_when_they_are_replaced_and_no_oftener_than_is_bounded(tmp_path: Path) -> None:
    with providing() as own, with_provider(tmp_path, own) as server, server.local() as owner:
        old = own.token()
        with server.client(old) as script:
            for _ in range(READS):
                assert script.get("/auth/me").status_code == 200
        assert own.asked == {"/.well-known/openid-configuration": 1, "/keys": 1}
        own.keys = [new_key()]
        fresh = own.token()
        with server.client(fresh) as script:
            assert script.get("/auth/me").status_code == 200
        with refused_once(owner) as refused, server.client(old) as script:
            refused.append(script.get("/auth/me"))
        for _ in range(UNKNOWN_IDS):
            with server.client(own.token(key=STRANGER, header={"kid": a_name("key")})) as script:
                assert script.get("/auth/me").status_code == 401
        assert 3 <= own.asked["/keys"] <= 5
        own.is_down = True
        with server.client(fresh) as script:
            assert script.get("/auth/me").status_code == 200


def test_while_the_provider_is_down_local_accounts_and_sessions_go_on(tmp_path: Path) -> None:
    with providing() as own, with_provider(tmp_path, own) as server, server.local() as owner:
        own.who = {"sub": "ada"}
        with a_browser(server) as browser:
            own.is_down = True
            for _ in range(2):
                answer = browser.request("POST", "/session/oidc/start")
                assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
            with server.client(own.token()) as script:
                answer = script.get("/networks")
                assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
            assert owner.get("/networks").status_code == 200
            own.is_down = False
            browser.sign_in().raise_for_status()
            own.is_down = True
            assert browser.request("GET", "/networks").status_code == 200
