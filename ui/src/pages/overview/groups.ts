/** Groups: findings that differ only in what they are about, put together; the most severe first. Pure. */
import type { Attention } from "../../api/fleet"

export type Group = { key: string; all: Attention[] }
const RANK: Record<string, number> = { critical: 0, warning: 1, info: 2 }

export function groupsOf(attention: readonly Attention[]): Group[] {
  const groups = new Map<string, Attention[]>()
  for (const one of attention) {
    const key = [one.severity, one.code, one.kind, one.next_step].join("\n")
    const same = groups.get(key)
    if (same) same.push(one)
    else groups.set(key, [one])
  }
  const rank = ({ all: [first] }: Group) => RANK[first?.severity ?? ""] ?? 3
  return [...groups].map(([key, all]) => ({ key, all })).sort((a, b) => rank(a) - rank(b))
}
