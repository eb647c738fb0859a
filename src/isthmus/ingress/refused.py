"""What stops an ingress from being rendered or applied: one sentence, and what to do about it."""


class IngressRefused(Exception):
    """`str()` says what is wrong, `mend` what to do."""

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(why)
        self.mend = mend


class FactsRefused(IngressRefused):
    """The facts are broken: nothing may be rendered from them."""


class PairRefused(IngressRefused):
    """The certificate and the key of the ingress are missing, unreadable, or not a pair."""


class LintFailed(IngressRefused):
    """A configuration lacks something that it must have."""

    def __init__(self, findings: list[str]) -> None:
        super().__init__("; ".join(findings), "render it again: isthmus ingress render")
        self.findings = findings


class NginxFailed(IngressRefused):
    """nginx is missing, does not take the configuration, or does not do as told."""


class FactsUnavailable(IngressRefused):
    """The server, which knows the facts, does not answer."""
