/** Obstacles: what to say of all that keeps a VM where it is: its own first, else what is most often so elsewhere. Pure. */
import type { Schemas } from "../../api/client"

const SAID = 2

export function obstaclesOf({ obstacles, nodes }: Schemas["Preflight"]): Schemas["Obstacle"][] {
  if (obstacles.length > 0) return obstacles
  const counts = new Map<string, { obstacle: Schemas["Obstacle"]; times: number }>()
  for (const obstacle of nodes.flatMap(node => node.obstacles)) {
    const same = counts.get(obstacle.code)
    if (same) same.times += 1
    else counts.set(obstacle.code, { obstacle, times: 1 })
  }
  return [...counts.values()]
    .sort((a, b) => b.times - a.times)
    .slice(0, SAID)
    .map(({ obstacle }) => obstacle)
}
