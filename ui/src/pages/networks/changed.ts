/** Changed: only the fields that are not as they were, in their types; emptied ones too. Pure. */
import { bodyOf, type Field, type Values } from "../../parts/fields"

export function changedOnly(fields: Field[], before: Values, values: Values): Record<string, unknown> {
  const changed = fields.filter(field => values[field.name] !== before[field.name])
  const filled = changed.filter(field => values[field.name] !== "")
  const body = bodyOf(
    filled.map(field => (field.kind === "check" ? { ...field, initial: !values[field.name] } : field)),
    values,
  )
  for (const field of changed.filter(field => values[field.name] === "")) {
    const path = field.name.split(".")
    let here = body
    for (const word of path.slice(0, -1)) {
      here[word] ??= {}
      here = here[word] as Record<string, unknown>
    }
    here[path.at(-1) ?? ""] = field.kind === "words" ? [] : ""
  }
  return body
}
