/** Plan: what a rebalance would do, with what its VMs claim and its nodes have, so that it can be drawn. */
import { getJson, type Schemas, send } from "../../api/client"
import { eachOf } from "../../api/many"
import { type Capacity, type Claim, capacityOf } from "./shares"

export type Plan = {
  ask: Schemas["AskRebalance"]
  answer: Schemas["PlanAnswer"]
  claims: ReadonlyMap<string, Claim>
  capacity: Capacity
}
type Vms = { items: Schemas["VM"][]; total: number }
const AT_ONCE = 6

/** throws Problem */
export async function planOf(ask: Schemas["AskRebalance"]): Promise<Plan> {
  const answer = await send<Schemas["PlanAnswer"]>("POST", "/api/v1/rebalance/plan", ask)
  const moves = answer.moves ?? []
  const nodes = new Set(moves.flatMap(move => [move.source.id, move.target.id]))
  const capacity = new Map<string, Claim>()
  await eachOf([...nodes], AT_ONCE, undefined, async id => {
    capacity.set(id, capacityOf(await getJson<Schemas["Node"]>(`/api/v1/nodes/${id}`)))
  })
  const moving = new Set(moves.map(move => move.vm.id))
  const claims = new Map<string, Claim>()
  await eachOf([...new Set(moves.map(move => move.source.id))], AT_ONCE, undefined, async id => {
    const fields = "fields=id,spec.cpus,spec.memory_bytes"
    const vms = await getJson<Vms>(`/api/v1/vms?filter=status.node=${id}&limit=1000&${fields}`)
    for (const vm of vms.items)
      if (moving.has(vm.id)) claims.set(vm.id, { cpus: vm.spec.cpus ?? 0, memory: vm.spec.memory_bytes ?? 0 })
  })
  return { ask, answer, claims, capacity }
}
