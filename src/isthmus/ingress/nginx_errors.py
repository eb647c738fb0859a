"""The part of an nginx configuration that turns every refusal of nginx into a problem document."""

from collections.abc import Iterator

from isthmus.ingress.refusal_table import ANSWERS, ID_PLACE, RETRY_SECONDS, Answer
from isthmus.ingress.syntax import Directive, block, line
from isthmus.protocol.problem import STATUS


def error_pages() -> Iterator[Directive]:
    for each in ANSWERS:
        yield line("error_page", *each.causes, f"={each.status}", each.location)


def error_locations() -> Iterator[Directive]:
    """Locations belong to a server, so each server needs its own."""
    return map(_location, ANSWERS)


def _location(answer: Answer) -> Directive:
    retry = [line("add_header", "Retry-After", RETRY_SECONDS, "always")] if answer.retry_after else []
    allowed = [line("add_header", "Allow", "POST", "always")] if answer.status == STATUS["method_not_allowed"] else []
    return block(
        "location",
        "=",
        answer.location,
        of=[
            line("internal"),
            # The request was refused already: a second refusal, for its body, would be one of nginx's own pages.
            line("client_max_body_size", 0),
            line("set", "$isthmus_refusal", answer.code),
            line("add_header", "Cache-Control", "no-store", "always"),
            line("add_header", "X-Request-Id", ID_PLACE, "always"),
            *retry,
            *allowed,
            line("return", answer.status, answer.body),
        ],
    )
