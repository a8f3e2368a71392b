/** Closing: what the end of a console means, and whether to open it again. Pure. Codes: docs/guide/consoles.md */

const KNOWN = [1000, 1001, 4401, 4404, 4409] as const
export type Known = (typeof KNOWN)[number]

export function isKnown(code: number): code is Known {
  return (KNOWN as readonly number[]).includes(code)
}

/** Milliseconds until it is opened again by itself; null: only if the person wants it. */
export function againAfter(code: number, tries: number): number | null {
  if (code === 4409) return 300 // it moved: it is there already
  if (code === 1000 || code === 4401 || code === 4404) return null
  return tries < 8 ? Math.min(10_000, 500 * 2 ** tries) : null // server restart, network
}
