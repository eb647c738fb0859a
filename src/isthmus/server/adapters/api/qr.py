"""QR codes of configs that hold a private key, which a phone scans."""

import asyncio

import segno

MODULE_PIXELS = 4


async def svg_of(text: str) -> str | None:
    """An SVG element, None when `text` is too long for a QR code. Drawn in a thread: it takes tens of milliseconds."""
    try:
        code = await asyncio.to_thread(segno.make, text, error="l", micro=False)
    except segno.DataOverflowError:
        return None
    return code.svg_inline(scale=MODULE_PIXELS)
