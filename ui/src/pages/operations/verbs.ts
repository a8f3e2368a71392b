/** Verbs of operations in words; one that the page does not know yet as the server calls it. */
import type { TFunction } from "i18next"
import type { Schemas } from "../../api/client"

export const VERBS: Schemas["Verb"][] = [
  "create",
  "update",
  "delete",
  "start",
  "stop",
  "restart",
  "pause",
  "resume",
  "suspend",
  "migrate",
  "revert",
  "settle",
  "adopt",
  "release",
  "drain",
  "rebalance",
]

export function verbText(t: TFunction, verb: string): string {
  return t(`operations.verbs.${verb}` as "operations.verbs.create", { defaultValue: verb })
}
