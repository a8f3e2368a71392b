/**
 * Meanwhile: what of a form somebody else changed while it was open. Pure.
 *
 * In this room   base: as the form began; now: as the resource is; values: as the person wants it
 * Always true    fields that the person did not touch take what is there now
 */
import type { Field, Values } from "./fields"

/** Whether the resource is no longer what the form began with. */
export function isChanged(base: Values, now: Values): boolean {
  return Object.keys(now).some(name => now[name] !== base[name])
}

/** What the person changed, on top of what is there now. */
export function mineOnto(now: Values, values: Values, touched: ReadonlySet<string>): Values {
  const mine = Object.entries(values).filter(([name]) => touched.has(name))
  return { ...now, ...Object.fromEntries(mine) }
}

/** Values as lines, to be compared. */
export function linesOf(fields: Field[], values: Values): string {
  return fields.map(({ name, label }) => `${label}: ${values[name] ?? ""}`).join("\n")
}
