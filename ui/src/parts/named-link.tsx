/**
 * Named link: to a resource of which a row knows the id only.
 *
 * Always true    a name is asked for only once a row has been looked at for a moment: who scrolls past asks nothing
 */
import { useEffect, useState } from "react"
import { useOne } from "../api/cache"
import type { Kind } from "../api/kinds"
import { ResourceLink } from "./links"

const LOOKED_AT_MS = 150

export function NamedLink({ kind, id }: { kind: Kind; id: string | null | undefined }) {
  const [seen, setSeen] = useState("")
  useEffect(() => {
    const timer = setTimeout(() => setSeen(id ?? ""), LOOKED_AT_MS)
    return () => clearTimeout(timer)
  }, [id])
  const found = useOne(kind, id ?? "", !!id && seen === id)
  if (!id) return <>–</>
  return <ResourceLink of={{ kind, id, name: found.data?.name ?? id }} />
}
