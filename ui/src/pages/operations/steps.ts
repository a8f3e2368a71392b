/** Steps: an operation's steps as they are drawn, with how long each took. Pure. */
import type { Schemas } from "../../api/client"
import type { Operation } from "../../api/kinds"

export type StepState = "done" | "going" | "failed" | "cancelled"
export type DrawnStep = { name: string; state: StepState; startedAt: number; tookS: number | null }

/** The last step of an operation that failed is where it failed. */
export function drawnSteps(operation: Pick<Operation, "status">, nowS: number): DrawnStep[] {
  const { steps = [], state, ended_at: endedAt = null } = operation.status ?? {}
  return steps.map((step, n) => {
    const last = n === steps.length - 1
    const endS = step.ended_at ?? (state === "running" ? nowS : (endedAt ?? steps[n + 1]?.started_at))
    return {
      name: step.name,
      state: stateOf(step, state, last),
      startedAt: step.started_at,
      tookS: endS ? Math.max(0, endS - step.started_at) : null,
    }
  })
}

function stateOf(step: Schemas["Step"], state: string | undefined, last: boolean): StepState {
  if (state === "running") return step.ended_at ? "done" : "going"
  if (last && state === "failed") return "failed"
  if (last && state === "cancelled") return "cancelled"
  return "done"
}

/** How long it has taken so far, or took. Seconds. */
export function tookS(operation: Pick<Operation, "created_at" | "status">, nowS: number): number {
  return Math.max(0, (operation.status?.ended_at ?? nowS) - operation.created_at)
}
