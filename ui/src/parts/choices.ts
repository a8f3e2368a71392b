/** Choices: resources of a kind of which there are few, as choices of a form, and their names by id. */
import { useMemo } from "react"
import { useAll } from "../api/cache"
import type { Kind } from "../api/kinds"
import type { Choice } from "./fields"

/** `first`: what stands for choosing none */
export function useChoices(kind: Kind, first?: string): Choice[] {
  const all = useAll(kind)
  return useMemo(() => {
    const names = (all.data?.items ?? []).filter(one => !one.deleted_at).map(one => one.name)
    const choices = names.sort((a, b) => a.localeCompare(b)).map(name => ({ value: name, label: name }))
    return first === undefined ? choices : [{ value: "", label: first }, ...choices]
  }, [all.data, first])
}

export function useNames(kind: Kind): ReadonlyMap<string, string> {
  const all = useAll(kind)
  return useMemo(() => new Map((all.data?.items ?? []).map(one => [one.id, one.name])), [all.data])
}
