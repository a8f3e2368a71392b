/** Keys: text as X keysyms, so that it can be typed at a screen. Pure. source: x.org/releases/X11R7.7/doc/xproto, appendix A */

const SPECIAL: Record<string, number> = { "\n": 0xff0d, "\t": 0xff09, "\b": 0xff08, "\u001b": 0xff1b }

/** One keysym a character: Latin-1 as it is, the rest of Unicode with 0x01000000 added. */
export function keysOf(text: string): number[] {
  return [...text.replaceAll("\r\n", "\n")].map(character => {
    const code = character.codePointAt(0) ?? 0
    return SPECIAL[character] ?? (code <= 0xff ? code : 0x01000000 + code)
  })
}
