/**
 * Fields: a form described as data, and what its values make of a request's body. Pure.
 *
 * In this room   Field; bodyOf(), troubleAt()
 * Always true    what was left as it was is not sent: the server's own default holds
 */
import type { Problem } from "../api/client"

export type Choice = { value: string; label: string }
export type Field = {
  /** place in the body; dots go deeper: "limits.iops" */
  name: string
  label: string
  kind: "text" | "number" | "size" | "choice" | "check" | "area" | "labels" | "words" | "secret"
  choices?: Choice[]
  help?: string
  required?: boolean
  initial?: string | boolean
  /** only where this holds */
  when?: (values: Values) => boolean
}
export type Values = Record<string, string | boolean>

export function initialValues(fields: Field[]): Values {
  return Object.fromEntries(fields.map(f => [f.name, f.initial ?? (f.kind === "check" ? false : "")]))
}

/** The body of the request: only fields that are filled in, in their types. */
export function bodyOf(fields: Field[], values: Values): Record<string, unknown> {
  const body: Record<string, unknown> = {}
  for (const field of fields) {
    if (field.when && !field.when(values)) continue
    const value = typed(field, values[field.name])
    if (value !== undefined) put(body, field.name.split("."), value)
  }
  return body
}

function typed(field: Field, value: string | boolean | undefined): unknown {
  if (field.kind === "check") return value === (field.initial ?? false) ? undefined : value
  const text = String(value ?? "").trim()
  if (!text) return undefined
  if (field.kind === "number") return Number.isFinite(Number(text)) ? Number(text) : text
  if (field.kind === "labels") return labelsOf(text)
  if (field.kind === "words") return text.split(/[\s,]+/)
  return field.kind === "area" ? String(value) : text
}

/** "env=prod, team=web" as {env: "prod", team: "web"}; a word without = is a label without a value. */
export function labelsOf(text: string): Record<string, string> {
  const words = text.split(/[,\n]/).map(word => word.trim())
  return Object.fromEntries(
    words.filter(Boolean).map(word => {
      const [key = "", ...value] = word.split("=")
      return [key.trim(), value.join("=").trim()]
    }),
  )
}

export function labelsText(labels: Record<string, string> | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => (value ? `${key}=${value}` : key))
    .join(", ")
}

function put(body: Record<string, unknown>, path: string[], value: unknown): void {
  const [first = "", ...rest] = path
  if (rest.length === 0) {
    body[first] = value
    return
  }
  body[first] ??= {}
  put(body[first] as Record<string, unknown>, rest, value)
}

/** Name of the field that a problem is about; "" for none of them. `disks[0].size` is about a field `disks.0.size` or `size`. */
export function troubleAt(fields: Field[], problem: Problem | null): string {
  if (problem?.code === "resource.name_taken" && fields.some(f => f.name === "name")) return "name"
  const said = problem?.details.context?.field
  if (typeof said !== "string") return ""
  const path = said.replace(/\[(\d+)\]/g, ".$1")
  const last = path.split(".").at(-1)
  return (
    fields.find(f => f.name === path)?.name ??
    fields.find(f => f.name === last || f.name.split(".").at(-1) === last)?.name ??
    ""
  )
}
