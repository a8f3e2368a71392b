/** Room: how much a pool holds and has left, from what each node sees of it. Pure. */
import type { Schemas } from "../../api/client"

type Seen = { id: string; name: string; pool: Schemas["PoolOnNode"] }
export type Room = { total: number; free: number; ready: number; seen: Seen[] }

/** A shared pool is the same on all nodes; one of each node by itself is the sum of them. */
export function roomOf(
  pool: { id: string; spec: { shared?: boolean } },
  nodes: readonly { id: string; name: string; status?: { pools?: Record<string, Schemas["PoolOnNode"]> } }[],
): Room {
  const seen: Seen[] = []
  for (const { id, name, status } of nodes) {
    const found = status?.pools?.[pool.id]
    if (found) seen.push({ id, name, pool: found })
  }
  const ready = seen.filter(one => one.pool.ready).map(one => one.pool)
  const counted = pool.spec.shared ? ready.slice(0, 1) : ready
  return {
    total: counted.reduce((sum, one) => sum + one.total_bytes, 0),
    free: counted.reduce((sum, one) => sum + one.free_bytes, 0),
    ready: ready.length,
    seen,
  }
}

export function takenShare({ total, free }: Pick<Room, "total" | "free">): number | null {
  return total > 0 ? (total - free) / total : null
}
