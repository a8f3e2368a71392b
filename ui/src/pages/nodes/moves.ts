/**
 * Moves: a rebalance as it is told, made whole. Pure.
 *
 * Always true    the server leaves out what is as in the beginning (waiting, planning, none): here it is filled in
 */
import type { Schemas } from "../../api/client"

export type Move = Required<Schemas["Move"]>
export type Drain = Required<Pick<Schemas["RebalanceStatus"], "phase" | "behind" | "trouble">> & {
  moves: Move[]
}
type Told = { spec?: { nodes?: string[] } | undefined; status?: Schemas["RebalanceStatus"] | undefined }

const FIRST: Omit<Move, "vm" | "source" | "target"> = {
  plan: 1,
  wave: 0,
  stepping_stone: false,
  forecast_s: 0,
  forecast_downtime_ms: 0,
  forecast_bytes: 0,
  state: "waiting",
  wish: "",
  trouble: null,
}

export function drainOf({ status = {} }: Told): Drain {
  const moves = status.moves ?? []
  return {
    phase: status.phase ?? "planning",
    behind: status.behind ?? [],
    trouble: status.trouble ?? null,
    moves: moves.map(move => ({ ...FIRST, ...move })),
  }
}

/** Whether it is on its way and empties this node. */
export function empties(told: Told, node: string): boolean {
  const { phase } = drainOf(told)
  return (phase === "planning" || phase === "moving") && (told.spec?.nodes ?? []).includes(node)
}

/** Moves that count for progress, and those that are made. */
export function counted(moves: readonly Move[]): { done: number; total: number } {
  const real = moves.filter(move => move.state !== "dropped")
  return { done: real.filter(move => move.state === "done").length, total: real.length }
}
