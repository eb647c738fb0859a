"""Texts that would do something where they are taken for a part of a file, a command, a query, a line or a page."""

from collections.abc import Mapping

HOSTILE: Mapping[str, str] = {
    "quotes": "\"one\" 'two' `three` \\four",
    "a setting of wg-quick": "PostUp = touch /tmp/owned",
    "lines of wg-quick": "x\nPostUp = touch /tmp/owned\n[Peer]",
    "lines of a DOS file": "x\r\n[Interface]\r\nPostUp = reboot",
    "another end of a line": "x\u2028PostUp = reboot\u0085PreDown = reboot",
    "nft": 'x" drop; } chain owned { accept; comment "',
    "nginx": "x; } server { listen 1; } #",
    "shell": "$(touch /tmp/owned); `reboot` | sh && rm -rf ~",
    "SQL": "'; DROP TABLE peers; --",
    "templates": "{{ 7 * 7 }} ${7*7} {% raw %} <%= 7 %> #{7}",
    "a line of the log": 'x", "level": "error", "event": "forged',
    "markup": "<script>window.ran=1</script>",
    "a name of a zone": "x.example. IN A 192.0.2.1",
    "NUL": "x\x00y",
}
