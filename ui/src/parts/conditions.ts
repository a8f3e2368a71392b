/**
 * Conditions: what is looked for in a list, in the address and as the API asks for it. Pure.
 *
 * In this room   Wanted, a list's search as described by a page; chosenIn(), addressOf(), queryOf()
 * Always true    an address with the same words shows the same list to somebody else
 */
import type { ListQuery } from "../api/cache"
import type { Choice } from "./fields"

export type Wanted = {
  /** word in the address */
  key: string
  label: string
  /** condition that it becomes: a path of the resource and how it is compared */
  path: string
  operator: "=" | "~"
  /** without: a text to type */
  choices?: Choice[]
}

export type Chosen = Record<string, string>

export function chosenIn(wanted: Wanted[], search: string): Chosen {
  const words = new URLSearchParams(search)
  return Object.fromEntries(wanted.map(({ key }) => [key, words.get(key) ?? ""]))
}

/** `sort` goes into the address where it is not the usual one. */
export function addressOf(chosen: Chosen, sort: string, usual: string): string {
  const words = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value !== ""))
  if (sort !== usual) words.set("sort", sort)
  return words.toString()
}

/** `always`: a condition of the page itself, like `spec.network=…` */
export function queryOf(wanted: Wanted[], chosen: Chosen, sort: string, always = ""): ListQuery {
  const conditions = wanted
    .filter(({ key }) => chosen[key])
    .map(({ key, path, operator }) => condition(path, operator, chosen[key] ?? ""))
  return { sort, filter: [always, ...conditions].filter(Boolean).join(",") }
}

export function condition(path: string, operator: string, value: string): string {
  const plain = /^[\w./:@-]+$/.test(value)
  return `${path}${operator}${plain ? value : `"${value.replace(/[\\"]/g, "\\$&")}"`}`
}

export function isWanted(chosen: Chosen): boolean {
  return Object.values(chosen).some(value => value !== "")
}
