/**
 * Scope: the part of the fleet that is in the picture, and what of it is read.
 *
 * In this room   useScope(): nodes, VMs and networks of one rack, node, network or VM, live
 * Always true    a picture stays readable: of more than fits the first are shown, and it says so
 */
import { useQueries } from "@tanstack/react-query"
import { useAll, useLive, useOne, useWindow } from "../../api/cache"
import { getJson } from "../../api/client"
import { useCells } from "../../api/fleet"
import { type Node, onePath } from "../../api/kinds"
import type { NodeIn, VmIn } from "./graph"

export const SCOPES = ["rack", "node", "network", "vm"] as const
export type Scope = (typeof SCOPES)[number]
export type Part = { scope: Scope; name: string }
type Seen = {
  nodes: NodeIn[]
  vms: VmIn[]
  networks: { id: string; name: string }[]
  hidden: number
  missing: boolean
}

const NODES_MAX = 60
const VMS_MAX = 120

export function useScope({ scope, name }: Part): Seen {
  const { data: cells } = useCells()
  const networks = useAll("Network").data?.items ?? []
  const network = scope === "network" ? networks.find(n => n.name === name || n.id === name) : undefined
  const one = useOne("VM", scope === "vm" ? name : "")
  const named =
    scope === "node" ? cells?.names.findIndex((n, at) => n === name || cells.ids[at] === name) : -1
  const node = cells?.ids[named ?? -1] ?? ""
  const filter = scope === "node" && node ? `status.node=${node}` : "id=none"
  const onNode = useWindow("VM", { sort: "name", filter }, 0, VMS_MAX - 1)
  const ports = useWindow(
    "Port",
    { filter: network ? `spec.network=${network.id}` : "id=none" },
    0,
    VMS_MAX - 1,
  )
  const onPorts = rows(ports, VMS_MAX).map(port => port.spec.vm)
  const onNetwork = useMany<VmIn>("VM", network ? onPorts.filter(vm => vm !== null && vm !== "") : [])

  const vms =
    scope === "vm" ? (one.data ? [one.data] : []) : scope === "node" ? rows(onNode, VMS_MAX) : onNetwork
  const inRack = cells?.ids.filter((_, at) => scope === "rack" && cells.racks[at] === name) ?? []
  const ofVms = [...new Set(vms.map(vm => vm.status?.node ?? "").filter(id => id !== ""))]
  const ids = scope === "rack" ? inRack : scope === "node" ? [node].filter(id => id !== "") : ofVms
  const nodes = useMany<Node>("Node", ids.slice(0, NODES_MAX))
  const total = scope === "node" ? onNode.total : scope === "network" ? ports.total : vms.length
  return {
    nodes,
    vms,
    networks,
    hidden: Math.max(0, ids.length - NODES_MAX) + Math.max(0, total - VMS_MAX),
    missing:
      name !== "" &&
      cells !== undefined &&
      (scope === "vm" ? one.isError : scope === "network" ? network === undefined : ids.length === 0),
  }
}

function rows<T>(list: { total: number; row: (n: number) => T | undefined }, most: number): T[] {
  return Array.from({ length: Math.min(most, list.total) }, (_, n) => list.row(n)).filter(
    r => r !== undefined,
  )
}

/** Several by id, live. */
function useMany<T>(kind: "Node" | "VM", ids: readonly string[]): T[] {
  useLive(kind)
  return useQueries({
    queries: [...new Set(ids)].map(id => ({
      queryKey: ["one", kind, id],
      queryFn: ({ signal }: { signal: AbortSignal }) => getJson<T>(onePath(kind, id), signal),
    })),
  })
    .map(query => query.data)
    .filter(data => data !== undefined)
}
