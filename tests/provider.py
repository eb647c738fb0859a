"""A small OpenID Connect provider on a socket of its own: discovery, keys, authorization code with PKCE, and JWTs."""

import contextlib
import json
import secrets
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "isthmus", "s3cret:& of the client"
ALGORITHMS = ["RS256", "PS256", "ES256"]
Key = RSAKey | ECKey


def new_key(name: str | None = None) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": name or secrets.token_hex(4), "use": "sig"})


@dataclass
class Granted:
    """What a code stands for until it is exchanged."""

    query: dict[str, str]
    claims: dict[str, Any]


@dataclass
class Provider:
    """`who` is whoever sits before the browsers, as claims. `asked` counts the requests of each path."""

    url: str = ""
    keys: list[Key] = field(default_factory=lambda: [new_key()])
    who: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, Granted] = field(default_factory=dict)
    extra_keys: list[dict[str, Any]] = field(default_factory=list)
    is_down: bool = False
    id_token: str | None = None

    def token(self, subject: str = "ada", key: Key | None = None, header: Any = None, **claims: Any) -> str:
        """A JWT for the client, with whatever is given otherwise; a claim that is None is left out."""
        now, key = int(time.time()), key or self.keys[-1]
        whole = {"iss": self.url, "aud": CLIENT, "sub": subject, "iat": now, "exp": now + 600} | claims
        whole = {name: value for name, value in whole.items() if value is not None}
        algorithm = "ES256" if isinstance(key, ECKey) else "RS256"
        return jwt.encode({"alg": algorithm, "kid": key.kid} | (header or {}), whole, key, algorithms=ALGORITHMS)

    def described(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?theme=plain",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }

    def jwks(self) -> dict[str, Any]:
        return {"keys": [*self.extra_keys, *(key.as_dict(private=False) for key in self.keys)]}

    def authorized(self, query: dict[str, str]) -> str:
        """Where a browser is sent back whose person has agreed."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = Granted(query, dict(self.who))
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state'], 'iss': self.url})}"

    def exchanged(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        kind, _, encoded = authorization.partition(" ")
        name, _, secret = b64decode(encoded).decode().partition(":")
        if (kind, unquote_plus(name), unquote_plus(secret)) != ("Basic", CLIENT, SECRET):
            return 401, {"error": "invalid_client"}
        granted = self.codes.pop(form["code"], None)
        if granted is None or granted.query["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if (granted.query["code_challenge_method"], granted.query["code_challenge"]) != ("S256", challenge):
            return 400, {"error": "invalid_grant"}
        claims = {"nonce": granted.query["nonce"]} | granted.claims
        made = self.id_token or self.token(**{"subject": claims.pop("sub"), **claims})
        return 200, {"access_token": secrets.token_hex(8), "token_type": "Bearer", "id_token": made}


class Handler(BaseHTTPRequestHandler):
    provider: Provider
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        documents = {"/.well-known/openid-configuration": self.provider.described, "/keys": self.provider.jwks}
        if self._is_counted(parts.path) and parts.path == "/authorize":
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self._answer(302, {}, Location=self.provider.authorized(query))
        elif parts.path in documents and not self.provider.is_down:
            self._answer(200, documents[parts.path]())
        else:
            self._answer(503, {"error": "temporarily_unavailable"})

    def do_POST(self) -> None:
        self._is_counted(self.path)
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        first = {name: values[0] for name, values in form.items()}
        self._answer(*self.provider.exchanged(first, self.headers.get("Authorization", "")))

    def _is_counted(self, path: str) -> bool:
        self.provider.asked[path] = self.provider.asked.get(path, 0) + 1
        return not self.provider.is_down

    def _answer(self, status: int, body: dict[str, Any], **headers: str) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what matters is asserted."""


@contextlib.contextmanager
def providing() -> Iterator[Provider]:
    """A provider on a free port of the loopback interface, until the block ends."""
    provider = Provider()
    handler = type("Own", (Handler,), {"provider": provider})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        listener.daemon_threads = True
        provider.url = f"http://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider
        finally:
            listener.shutdown()
            thread.join()
