/**
 * Layout: where the cell of each node lies, racks side by side. Pure.
 *
 * In this room   layoutCells(), cellUnder(), moved()
 * Comes in       rack and name of each node, and the room that there is
 * Goes out       places in CSS pixels
 * Always true    all nodes are on the picture: cells get smaller until they fit, and only when they are as small as
 *                can be seen the picture gets higher
 */
export type Rack = { name: string; x: number; y: number; width: number; height: number }
export type Layout = {
  /** side of a cell, its gap included */
  step: number
  gap: number
  height: number
  /** of each node, by its place in the columns */
  x: Float32Array
  y: Float32Array
  racks: Rack[]
  /** nodes as they are read: rack by rack */
  order: Int32Array
}

const STEP_MAX = 40
const STEP_MIN = 5
const WORDS_PX = 18 // above a rack
const WORDS_FROM_STEP = 14 // smaller racks are too narrow for a name

export function layoutCells(
  racks: readonly string[],
  names: readonly string[],
  width: number,
  heightMax: number,
): Layout {
  const groups = grouped(racks, names)
  let step = STEP_MAX
  while (step > STEP_MIN && place(groups, width, step).height > heightMax) step -= 1
  const { height, boxes } = place(groups, width, step)
  const x = new Float32Array(racks.length)
  const y = new Float32Array(racks.length)
  const order = new Int32Array(racks.length)
  let next = 0
  groups.forEach(({ nodes }, g) => {
    const box = boxes[g]
    if (!box) return
    nodes.forEach((node, n) => {
      x[node] = box.x + (n % box.columns) * step
      y[node] = box.cells + Math.floor(n / box.columns) * step
      order[next] = node
      next += 1
    })
  })
  const named = groups.map(({ name }, g) => {
    const box = boxes[g]
    return { name, x: box?.x ?? 0, y: box?.y ?? 0, width: box?.width ?? 0, height: box?.height ?? 0 }
  })
  return { step, gap: step > 8 ? 2 : 1, height, x, y, racks: named, order }
}

type Group = { name: string; nodes: number[] }

/** Racks by name and nodes by name, numbers in names as numbers; what stands in no rack comes last. */
function grouped(racks: readonly string[], names: readonly string[]): Group[] {
  const groups = new Map<string, number[]>()
  racks.forEach((rack, node) => {
    const nodes = groups.get(rack)
    if (nodes) nodes.push(node)
    else groups.set(rack, [node])
  })
  const order = new Intl.Collator("en", { numeric: true })
  const byName = (a: number, b: number) => order.compare(names[a] ?? "", names[b] ?? "")
  return [...groups]
    .map(([name, nodes]) => ({ name, nodes: nodes.sort(byName) }))
    .sort((a, b) => Number(a.name === "") - Number(b.name === "") || order.compare(a.name, b.name))
}

type Box = { x: number; y: number; cells: number; width: number; height: number; columns: number }

function place(groups: readonly Group[], width: number, step: number): { height: number; boxes: Box[] } {
  const words = step >= WORDS_FROM_STEP ? WORDS_PX : 0
  const space = step >= WORDS_FROM_STEP ? 14 : Math.max(3, Math.round(step / 2))
  const widest = Math.max(1, Math.floor(width / step))
  let x = 0
  let y = 0
  let line = 0
  const boxes = groups.map(({ nodes }) => {
    const columns = Math.min(widest, Math.max(words ? 5 : 2, Math.ceil(Math.sqrt(nodes.length * 1.6))))
    const box = {
      columns,
      width: Math.min(columns, Math.max(nodes.length, words ? 4 : 1)) * step,
      height: words + Math.ceil(nodes.length / columns) * step,
    }
    if (x > 0 && x + box.width > width) {
      x = 0
      y += line + space
      line = 0
    }
    const placed = { ...box, x, y, cells: y + words }
    x += box.width + space
    line = Math.max(line, box.height)
    return placed
  })
  return { height: y + line, boxes }
}

/** The node under a point; -1: none. */
export function cellUnder(layout: Layout, px: number, py: number): number {
  for (const node of layout.order) {
    const dx = px - (layout.x[node] ?? 0)
    const dy = py - (layout.y[node] ?? 0)
    if (dx >= 0 && dx < layout.step && dy >= 0 && dy < layout.step) return node
  }
  return -1
}

/** The node that a key leads to; undefined: the key means nothing here. */
export function moved(layout: Layout, from: number, key: string): number | undefined {
  const at = layout.order.indexOf(from)
  const last = layout.order.length - 1
  const nth = (n: number) => layout.order[Math.min(last, Math.max(0, n))]
  if (key === "ArrowRight") return nth(at + 1)
  if (key === "ArrowLeft") return nth(at - 1)
  if (key === "Home") return nth(0)
  if (key === "End") return nth(last)
  if (key === "ArrowDown") return nearest(layout, from, 1)
  if (key === "ArrowUp") return nearest(layout, from, -1)
  return undefined
}

/** The nearest cell above or below, best in the same column. */
function nearest(layout: Layout, from: number, way: 1 | -1): number {
  let best = from
  let least = Number.POSITIVE_INFINITY
  for (const node of layout.order) {
    const dy = ((layout.y[node] ?? 0) - (layout.y[from] ?? 0)) * way
    if (dy < layout.step / 2) continue
    const dx = Math.abs((layout.x[node] ?? 0) - (layout.x[from] ?? 0))
    const far = dy + dx * 2
    if (far < least) {
      least = far
      best = node
    }
  }
  return best
}
