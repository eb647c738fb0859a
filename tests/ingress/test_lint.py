"""The lint takes what was rendered, and nothing that is weaker by one directive."""

from pathlib import Path

import msgspec
import pytest

from isthmus.ingress import nginx
from isthmus.ingress.facts import part_of
from isthmus.ingress.layout import Layout
from isthmus.ingress.nginx_lint import lint
from isthmus.ingress.refused import FactsRefused
from isthmus.ingress.syntax import Directive, SyntaxBroken, parse, text_of
from isthmus.ingress.weakenings import TURNED, weakenings
from isthmus.protocol.ingress import IngressFacts, Listener
from isthmus.protocol.places import Places
from tests.ingress.authority import Ca
from tests.ingress.conftest import OVERLAY, secret

LAYOUT = Layout.of(Places(Path("/var/lib/isthmus")), secret)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> IngressFacts:
    ca = Ca(tmp_path_factory.mktemp("ca"), "a")
    listeners = [Listener("wan", "192.0.2.1", 8443), Listener("overlay-1", "fd00::1", 8443, OVERLAY)]
    return IngressFacts(3, ["infra.b.example"], listeners, [ca.pem], {OVERLAY: "office"})


@pytest.fixture(scope="module")
def files(facts: IngressFacts) -> dict[str, str]:
    return nginx.render(facts, LAYOUT)


def with_digest(files: dict[str, str]) -> dict[str, str]:
    """Files whose digest somebody has made to fit what he did to them."""
    digest = nginx.digest_of(files)
    config = nginx.STAMP.sub(nginx.stamp(digest, ""), files[nginx.CONFIG], count=1)
    return {**files, nginx.CONFIG: config, nginx.DIGEST: digest}


def test_what_was_rendered_passes(files: dict[str, str]) -> None:
    assert lint(files) == []


@pytest.mark.case("SEED-008")
def test_every_weakening_fails(facts: IngressFacts, files: dict[str, str]) -> None:
    passed, tried = [], set()
    # Each listener has the same two servers: one is enough.
    one = nginx.render(msgspec.structs.replace(facts, listeners=facts.listeners[:1]), LAYOUT)
    for what, config in weakenings(one[nginx.CONFIG]):
        tried.add(what)
        # The digest alone would notice every change: here it is made to fit.
        if not lint(with_digest({**files, nginx.CONFIG: config})):
            passed.append(what)
    assert passed == []
    assert {f"{name} {after}" for name, _, after in TURNED} <= tried
    assert len(tried) > 300


def test_one_of_several_ingresses_shares_the_wan_and_knows_all_federators(facts: IngressFacts) -> None:
    several = part_of(msgspec.structs.replace(facts, replicas=2), 2)
    second = Layout.of(Places(Path("/var/lib/isthmus"), 2), secret)
    rendered = nginx.render(several, second)
    config = rendered[nginx.CONFIG]
    assert lint(rendered) == []
    # The guard of an overlay is one for the host, so its listener is that of the first ingress alone.
    assert [each.id for each in several.listeners] == ["wan"]
    assert config.count("reuseport") == 1
    for name in ("inward.sock", "inward-2.sock"):
        assert f"server unix:/var/lib/isthmus/run/{name} max_fails=0;" in config
    for name in ("refusals-2.sock", "ingress-2.sock", "ingress-2.pid"):
        assert f"/run/{name}" in config
    passed = [what for what, text in weakenings(config) if not lint(with_digest({**rendered, nginx.CONFIG: text}))]
    assert passed == []


def test_of_one_federator_no_other_is_asked_and_no_address_is_shared(files: dict[str, str]) -> None:
    assert "reuseport" not in files[nginx.CONFIG]
    for before, after in (
        ("proxy_next_upstream off", "proxy_next_upstream error"),
        ("ssl default_server", "ssl default_server reuseport"),
    ):
        assert before in files[nginx.CONFIG]
        assert lint(with_digest({**files, nginx.CONFIG: files[nginx.CONFIG].replace(before, after)}))


@pytest.mark.parametrize("replicas", [0, 5])
def test_so_many_federators_are_refused(facts: IngressFacts, replicas: int) -> None:
    with pytest.raises(FactsRefused, match="replicas"):
        nginx.render(msgspec.structs.replace(facts, replicas=replicas), LAYOUT)


def test_a_change_by_hand_shows_in_the_digest(files: dict[str, str]) -> None:
    longer = files[nginx.CONFIG].replace("client_body_timeout 10s", "client_body_timeout 9s")
    assert lint(with_digest({**files, nginx.CONFIG: longer})) == []
    assert any("changed by hand" in each for each in lint({**files, nginx.CONFIG: longer}))


def test_an_anchor_more_shows_in_the_digest(files: dict[str, str], tmp_path: Path) -> None:
    more = files[nginx.ANCHORS] + Ca(tmp_path, "attacker").pem
    assert any("changed by hand" in each for each in lint({**files, nginx.ANCHORS: more}))


@pytest.mark.parametrize(
    "anchors", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_anchors_that_are_none_fail(files: dict[str, str], anchors: str) -> None:
    assert any(nginx.ANCHORS in each for each in lint(with_digest({**files, nginx.ANCHORS: anchors})))


def test_a_variable_that_a_pattern_takes_over_fails(files: dict[str, str]) -> None:
    """A named group is a variable: one called like the map of request lines would empty that."""
    taken = files[nginx.CONFIG].replace("part_path", "isthmus_line")
    assert any("another variable" in each for each in lint(with_digest({**files, nginx.CONFIG: taken})))


@pytest.mark.parametrize("text", ["a", "a {", "a { b; ", "}", "a 'b", "a 'b'c;", ";", "{ }", "a ${b"])
def test_what_is_no_configuration_is_not_read(text: str) -> None:
    with pytest.raises(SyntaxBroken, match="line 1"):
        parse(text)


@pytest.mark.case("PATH-009")
@pytest.mark.parametrize(
    "words",
    [["a b"], [""], ["'"], ['"'], ["\\"], ["\\n"], ["a\nb"], ["\t"], ["${x}"], ["{", "}", ";"], ["#"], ["\\.", "$x"]],
)
def test_every_text_comes_back_from_the_syntax_as_it_went_in(words: list[str]) -> None:
    tree = (Directive("name", tuple(words)), Directive("block", tuple(words), (Directive("inner", tuple(words)),)))
    assert parse(text_of(tree)) == tree
    assert parse("# a comment } { ;\n" + text_of(tree)) == tree


def test_the_same_facts_have_the_same_digest_whatever_their_order(facts: IngressFacts, files: dict[str, str]) -> None:
    other = msgspec.structs.replace(facts, generation=9, anchors=[*reversed(facts.anchors), *facts.anchors])
    assert nginx.render(other, LAYOUT)[nginx.DIGEST] == files[nginx.DIGEST]
