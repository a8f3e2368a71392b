/** Snapshots as a tree: which one stands on which. Pure. */
import type { Schemas } from "../../api/client"

export type Branch = { snapshot: Schemas["Snapshot"]; depth: number }

/** Parents before children, siblings by age; one whose parent is gone is a root. */
export function asTree(snapshots: Schemas["Snapshot"][]): Branch[] {
  const known = new Set(snapshots.map(s => s.id))
  const children = new Map<string, Schemas["Snapshot"][]>()
  for (const snapshot of [...snapshots].sort((a, b) => (a.created_at ?? 0) - (b.created_at ?? 0))) {
    const parent = snapshot.spec.parent
    const key = parent && known.has(parent) ? parent : ""
    children.set(key, [...(children.get(key) ?? []), snapshot])
  }
  const branches: Branch[] = []
  const walk = (parent: string, depth: number) => {
    for (const snapshot of children.get(parent) ?? []) {
      branches.push({ snapshot, depth })
      walk(snapshot.id, depth + 1)
    }
  }
  walk("", 0)
  return branches
}
