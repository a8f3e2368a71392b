/**
 * Graph: nodes, networks and VMs, what belongs together, and where each stands. Pure.
 *
 * In this room   graphOf(); placed(), three columns: networks, nodes, VMs
 * Always true    nothing is linked that is not in the picture; equal input gives an equal picture
 */
export type Item = { kind: "Network" | "Node" | "VM"; id: string; name: string; phase: string }
export type Graph = { items: Item[]; links: [string, string][] }
export type Place = Item & { x: number; y: number }

type Named = { id: string; name: string }
export type NodeIn = Named & {
  status?: { phase?: string; networks?: Record<string, unknown> }
}
export type VmIn = Named & {
  spec?: { nics?: { network: string }[] }
  status?: { phase?: string; node?: string | null }
}
type Input = { nodes: readonly NodeIn[]; vms: readonly VmIn[]; networks: readonly Named[] }

export function graphOf(input: Input): Graph {
  const nodes = input.nodes.toSorted(byName)
  const vms = input.vms.toSorted(byName)
  const { networks } = input
  const known = new Map(networks.map(network => [network.id, network]))
  const here = new Set(nodes.map(node => node.id))
  const used = new Set<string>()
  const links: [string, string][] = []
  for (const vm of vms) {
    const node = vm.status?.node
    if (node && here.has(node)) links.push([node, vm.id])
    for (const network of new Set(vm.spec?.nics?.map(nic => nic.network))) {
      if (!known.has(network)) continue
      used.add(network)
      links.push([network, vm.id])
    }
  }
  for (const node of nodes) {
    for (const network of Object.keys(node.status?.networks ?? {})) {
      if (!known.has(network)) continue
      used.add(network)
      links.push([network, node.id])
    }
  }
  const items: Item[] = [
    ...networks.filter(n => used.has(n.id)).map(n => item("Network", n, "")),
    ...nodes.map(n => item("Node", n, n.status?.phase)),
    ...vms.map(v => item("VM", v, v.status?.phase)),
  ]
  return { items, links }
}

const order = new Intl.Collator("en", { numeric: true })

function byName(a: Named, b: Named): number {
  return order.compare(a.name, b.name)
}

function item(kind: Item["kind"], { id, name }: Named, phase: string | undefined): Item {
  return { kind, id, name, phase: phase ?? "" }
}

const ROWS_MAX = 20 // in a column, before another one begins

/** Networks to the left, nodes in the middle, VMs to the right; x and y from 0 to 1. */
export function placed(graph: Graph): Place[] {
  const groups = (["Network", "Node", "VM"] as const).map(kind => graph.items.filter(i => i.kind === kind))
  const columns = groups.map(group => Math.max(1, Math.ceil(group.length / ROWS_MAX)))
  const all = columns.reduce((sum, n) => sum + n, 0)
  return groups.flatMap((group, g) => {
    const before = columns.slice(0, g).reduce((sum, n) => sum + n, 0)
    const rows = Math.ceil(group.length / (columns[g] ?? 1))
    return group.map((one, n) => ({
      ...one,
      x: (before + Math.floor(n / rows) + 0.5) / all,
      y: ((n % rows) + 0.5) / rows,
    }))
  })
}

/** The same places over the whole of a width and a height: what is drawn is not stretched then. */
export function spread(places: readonly Place[], width: number, height: number): Place[] {
  const over = (of: "x" | "y", size: number) => {
    const all = places.map(p => p[of])
    const least = Math.min(...all)
    const whole = Math.max(...all) - least
    return (at: number) => (whole > 0 ? ((at - least) / whole) * size : size / 2)
  }
  const x = over("x", width)
  const y = over("y", height)
  return places.map(p => ({ ...p, x: x(p.x), y: y(p.y) }))
}
