// Texts of others so that what is read is what is there.

// Controls, marks that turn the direction around, and what has no width: none of them can be seen as it is.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu

/** Each character that cannot be seen as its code point, such as `[U+202E]`. */
export const legible = (text: string): string =>
  text.replace(UNSEEN, (each) => `[U+${(each.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}]`)
