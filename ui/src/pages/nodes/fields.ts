/**
 * Fields: what can be edited of a node, as the texts of a form. Pure.
 *
 * In this room   fieldsOf(), bodyOf() (only what is different), commandOf()
 * Always true    a field that nobody touched is not sent: somebody else's change of it stays
 */
import type { Schemas } from "../../api/client"
import { quote } from "../../parts/code"
import { labelsOf, labelsText } from "../../parts/fields"

export type Fields = {
  rack: string
  labels: string // a line each
  cpu_overcommit: string
  memory_overcommit: string
  reserve_cpus: string
  reserve_memory: string
  dedicated_cpus: string
}
type Body = Partial<Schemas["UpdateNode"]>
type Source = { labels: Record<string, string>; spec: Schemas["NodeSpec"] }

const NUMBERS = ["cpu_overcommit", "memory_overcommit", "reserve_cpus"] as const
const TEXTS = ["rack", "reserve_memory", "dedicated_cpus"] as const

export function fieldsOf({ labels, spec }: Source): Fields {
  return {
    rack: spec.rack,
    labels: labelsText(labels),
    cpu_overcommit: String(spec.cpu_overcommit),
    memory_overcommit: String(spec.memory_overcommit),
    reserve_cpus: String(spec.reserve_cpus),
    reserve_memory: sizeText(spec.reserve_memory_bytes),
    dedicated_cpus: spec.dedicated_cpus,
  }
}

/** To the byte: 512 MiB as "512MiB". */
export function sizeText(bytes: number): string {
  for (const [unit, size] of [
    ["GiB", 1024 ** 3],
    ["MiB", 1024 ** 2],
    ["KiB", 1024],
  ] as const) {
    if (bytes > 0 && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return String(bytes)
}

/** What to send so that the fields become as they are now. */
export function bodyOf(before: Fields, now: Fields): Body {
  const body: Body = {}
  for (const name of NUMBERS) if (now[name] !== before[name]) body[name] = Number(now[name])
  for (const name of TEXTS) if (now[name] !== before[name]) body[name] = now[name].trim()
  if (now.labels !== before.labels) body.labels = labelsOf(now.labels)
  return body
}

/** As one would type it; "" where nothing is different. */
export function commandOf(node: string, before: Fields, now: Fields): string {
  const body = bodyOf(before, now)
  const words = Object.entries(body)
    .filter(([name]) => name !== "labels")
    .map(([name, value]) => `--${name.replaceAll("_", "-")} ${quote(String(value))}`)
  const commands = words.length > 0 ? [`corral node set ${quote(node)} ${words.join(" ")}`] : []
  if (body.labels) {
    const old = labelsOf(before.labels)
    const set = Object.entries(body.labels).filter(([key, value]) => old[key] !== value)
    const gone = Object.keys(old).filter(key => !(key in (body.labels ?? {})))
    const changes = [
      ...set.map(([key, value]) => quote(`${key}=${value}`)),
      ...gone.map(key => quote(`${key}-`)),
    ]
    if (changes.length > 0) commands.push(`corral node labels ${quote(node)} ${changes.join(" ")}`)
  }
  return commands.join("\n")
}
