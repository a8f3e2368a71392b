/** Links: from any resource that is mentioned to its own page, also from within pages that have paths of their own (~). */
import { Link } from "wouter"

const PAGE: Record<string, string> = {
  VM: "/vms",
  Node: "/nodes",
  Operation: "/operations",
  Image: "/images",
  Volume: "/volumes",
  StoragePool: "/pools",
  Network: "/networks",
  PlacementGroup: "/groups",
  SchedulingPolicy: "/policies",
  VMProfile: "/profiles",
  Rebalance: "/rebalance",
}

type Ref = { kind: string; id: string; name?: string }

/** Where the page of a resource is; "" where there is none. */
export function pageOf({ kind, id }: Ref): string {
  const base = PAGE[kind]
  return base ? `${base}/${encodeURIComponent(id)}` : ""
}

export function ResourceLink({ of, children }: { of: Ref; children?: React.ReactNode }) {
  const to = pageOf(of)
  const text = children ?? of.name ?? of.id
  return to ? (
    <Link href={`~${to}`} className="name" dir="auto">
      {text}
    </Link>
  ) : (
    <bdi className="name">{text}</bdi>
  )
}
