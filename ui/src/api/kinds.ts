/** Kinds: what the API calls the lists of each kind, and the types of what is in them. */
import type { Schemas } from "./client"

export const PLURAL = {
  VM: "vms",
  Node: "nodes",
  Volume: "volumes",
  Image: "images",
  StoragePool: "pools",
  Network: "networks",
  Operation: "operations",
  Event: "events",
  PlacementGroup: "groups",
  SchedulingPolicy: "policies",
  Snapshot: "snapshots",
  VMProfile: "profiles",
  FoundDomain: "found-domains",
  Rebalance: "rebalances",
  Port: "ports",
  Token: "tokens",
} as const

export type Kind = keyof typeof PLURAL
export type Of<K extends Kind> = Schemas[K]
/** What all resources have. */
export type Resource = {
  kind: string
  id: string
  name: string
  labels?: Record<string, string>
  revision?: number
  created_at?: number
  deleted_at?: number | null
}

export function listPath(kind: Kind): string {
  return `/api/v1/${PLURAL[kind]}`
}

export function onePath(kind: Kind, idOrName: string): string {
  return `${listPath(kind)}/${encodeURIComponent(idOrName)}`
}

export type VM = Schemas["VM"]
export type Node = Schemas["Node"]
export type Operation = Schemas["Operation"]
export type Volume = Schemas["Volume"]
