/** Fields of a policy's form, with what each means and its unit; and what they are where nobody says. Pure. */
import type { TFunction } from "i18next"
import type { Schemas } from "../../api/client"
import { span } from "../../look/format"
import type { Field } from "../../parts/fields"

export type Spec = Schemas["SchedulingPolicySpec"]
export const SCORES: Schemas["Score"][] = ["balance", "pack", "spread", "power"]
export const SPARES: Schemas["Spare"][] = ["none", "node", "rack"]
export const WEIGHTS = ["cpu", "memory", "gpu", "io", "power", "stranding", "bonus"] as const
export const GOALS = ["balance", "consolidate"] as const
export const REBALANCING = [
  "start_above",
  "gain",
  "moves_per_100_vm_hours",
  "moves_max",
  "parallel",
  "pause_s",
] as const
/** What counts for one goal only. */
const OF_GOAL: Partial<Record<(typeof REBALANCING)[number], (typeof GOALS)[number]>> = {
  start_above: "balance",
  gain: "balance",
  moves_per_100_vm_hours: "consolidate",
}

/** As the server has them: openapi.json says so too. */
export const USUAL = {
  weights: { cpu: 0.42, memory: 0.35, gpu: 0.23, io: 0.28, power: 0.11, stranding: 1, bonus: 1 },
  rebalance: {
    automatic: false,
    goal: "balance",
    start_above: 0.2,
    gain: 0.25,
    moves_per_100_vm_hours: 1,
    moves_max: 20,
    parallel: 2,
    pause_s: 900,
  },
} as const

export function specFields(t: TFunction, hasRebalancing: boolean): Field[] {
  return [
    { name: "summary", label: t("resource.summary"), kind: "text", help: t("resource.summary_help") },
    {
      name: "score",
      label: t("policies.score"),
      kind: "choice",
      initial: "balance",
      choices: SCORES.map(value => ({ value, label: `${value}: ${t(`policies.scores.${value}`)}` })),
    },
    {
      name: "spare",
      label: t("policies.spare"),
      kind: "choice",
      initial: "none",
      choices: SPARES.map(value => ({ value, label: t(`policies.spares.${value}`) })),
      help: t("policies.spare_help"),
    },
    ...WEIGHTS.map(
      (name): Field => ({
        name: `weights.${name}`,
        label: t("policies.weight_of", { name: t(`policies.weights.${name}`) }),
        kind: "number",
        initial: String(USUAL.weights[name]),
        help: t(`policies.weights_help.${name}`),
        when: values =>
          ["stranding", "bonus"].includes(name)
            ? values.score !== "spread" && values.score !== "power"
            : values.score === "balance",
      }),
    ),
    ...(hasRebalancing ? rebalancingFields(t) : []),
  ]
}

/** As a policy has it, in words: what counts for its goal. */
export function rebalancingPairs(t: TFunction, of: Spec["rebalance"]): [string, string][] {
  const rebalance = { ...USUAL.rebalance, ...of }
  return [
    [t("rebalance.goal"), t(`rebalance.goals_short.${rebalance.goal}`)],
    ...REBALANCING.filter(name => [undefined, rebalance.goal].includes(OF_GOAL[name])).map(
      (name): [string, string] => [
        t(`policies.rebalancing.${name}`),
        name === "pause_s" ? span(rebalance.pause_s) : String(rebalance[name]),
      ],
    ),
  ]
}

export function rebalancingFields(t: TFunction): Field[] {
  return [
    {
      name: "rebalance.automatic",
      label: t("policies.automatic"),
      kind: "check",
      help: t("policies.automatic_help"),
    },
    {
      name: "rebalance.goal",
      label: t("rebalance.goal"),
      kind: "choice",
      initial: USUAL.rebalance.goal,
      choices: GOALS.map(value => ({ value, label: t(`rebalance.goals_short.${value}`) })),
      when: values => values["rebalance.automatic"] === true,
    },
    ...REBALANCING.map(
      (name): Field => ({
        name: `rebalance.${name}`,
        label: t(`policies.rebalancing.${name}`),
        kind: "number",
        initial: String(USUAL.rebalance[name]),
        help: t(`policies.rebalancing_help.${name}`),
        when: values =>
          values["rebalance.automatic"] === true &&
          [undefined, values["rebalance.goal"]].includes(OF_GOAL[name]),
      }),
    ),
  ]
}
