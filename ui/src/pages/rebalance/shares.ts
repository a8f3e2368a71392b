/**
 * Shares: how full nodes are before a plan and after it. Pure.
 *
 * In this room   sharesAfter(), the nodes' shares with the moves made; movedOf(), what each moving VM claims
 * Always true    a VM that moves twice (over a third node) is counted where it ends
 */
import type { Schemas } from "../../api/client"
import type { Columns } from "../../api/fleet"

export type PlannedMove = Pick<Schemas["PlannedMigration"], "vm" | "source" | "target">
export type Claim = { cpus: number; memory: number }
/** What nodes have to give. */
export type Capacity = ReadonlyMap<string, Claim>
export type NodeShare = { id: string; name: string; cpu: number; memory: number }
export type Picture = { before: NodeShare[]; after: NodeShare[] }

/** What a node has to give after its reserve, with overcommit. */
export function capacityOf(node: Pick<Schemas["Node"], "spec" | "status">): Claim {
  const { spec, status } = node
  const inventory = status?.inventory
  return {
    cpus: Math.max(0, (inventory?.cpus ?? 0) - (spec?.reserve_cpus ?? 0)) * (spec?.cpu_overcommit ?? 4),
    memory:
      Math.max(0, (inventory?.memory_bytes ?? 0) - (spec?.reserve_memory_bytes ?? 512 * 1024 ** 2)) *
      (spec?.memory_overcommit ?? 1),
  }
}

export function pictureOf(
  columns: Columns,
  moves: readonly PlannedMove[],
  claims: ReadonlyMap<string, Claim>,
  capacity: Capacity,
): Picture {
  const before = columns.ids.map((id, at) => ({
    id,
    name: columns.names[at] ?? id,
    cpu: columns.cpu_claimed[at] ?? 0,
    memory: columns.memory_claimed[at] ?? 0,
  }))
  const after = new Map(before.map(node => [node.id, { ...node }]))
  const add = (id: string, claim: Claim, sign: 1 | -1) => {
    const node = after.get(id)
    const has = capacity.get(id)
    if (!node || !has) return
    if (has.cpus > 0) node.cpu = Math.max(0, node.cpu + (sign * claim.cpus) / has.cpus)
    if (has.memory > 0) node.memory = Math.max(0, node.memory + (sign * claim.memory) / has.memory)
  }
  for (const move of moves) {
    const claim = claims.get(move.vm.id)
    if (!claim) continue
    add(move.source.id, claim, -1)
    add(move.target.id, claim, 1)
  }
  return { before, after: [...after.values()] }
}

/** In order of how full they were. */
export function byFullness(picture: Picture, figure: "cpu" | "memory"): Picture {
  const order = picture.before.map((_, at) => at)
  order.sort((a, b) => (picture.before[b]?.[figure] ?? 0) - (picture.before[a]?.[figure] ?? 0))
  const pick = (nodes: NodeShare[]) => order.map(at => nodes[at] as NodeShare)
  return { before: pick(picture.before), after: pick(picture.after) }
}
