/**
 * Edited: a spec as a form begins with it, and as it is after the form. Pure.
 *
 * Always true    fields that the form does not show stay as they are; one that was emptied is left out, so that the
 *                server's default holds
 */
import { bodyOf, type Field, type Values } from "./fields"

type Tree = { [key: string]: unknown }

/** Fields that begin with what `of` has at their names. */
export function begunWith(fields: Field[], of: object): Field[] {
  return fields.map(field => {
    const found = at(of as Tree, field.name.split("."))
    if (found === undefined || found === null) return field
    return { ...field, initial: typeof found === "boolean" ? found : String(found) }
  })
}

/** `before` with the values of the form's fields in it. */
export function edited(fields: Field[], values: Values, before: object): Tree {
  const after = structuredClone(before) as Tree
  const body = bodyOf(
    fields.map(field => (field.kind === "check" ? { ...field, initial: undefined } : field)),
    values,
  )
  for (const field of fields) {
    if (field.when && !field.when(values)) continue
    const path = field.name.split(".")
    const value = field.kind === "check" ? values[field.name] === true : at(body, path)
    set(after, path, value)
  }
  return after
}

function at(of: Tree, path: string[]): unknown {
  let here: unknown = of
  for (const word of path) here = (here as Tree | undefined | null)?.[word]
  return here
}

function set(of: Tree, path: string[], value: unknown): void {
  const [first = "", ...rest] = path
  if (rest.length === 0) {
    if (value === undefined) delete of[first]
    else of[first] = value
    return
  }
  if (value === undefined && of[first] === undefined) return
  of[first] = { ...(of[first] as Tree | undefined) }
  set(of[first] as Tree, rest, value)
}
