/** Fields of a policy's form, with what each means and its unit; and what they are where nobody says. Pure. */
import type { TFunction } from "i18next"
import type { Schemas } from "../../api/client"
import type { Field } from "../../parts/fields"

export type Spec = Schemas["SchedulingPolicySpec"]
export const SCORES: Schemas["Score"][] = ["balance", "pack", "spread", "power"]
export const SPARES: Schemas["Spare"][] = ["none", "node", "rack"]
export const WEIGHTS = ["cpu", "memory", "gpu", "io", "power", "stranding", "bonus"] as const
export const REBALANCING = ["start_above", "gain", "moves_max", "parallel", "pause_s"] as const

/** As the server has them: openapi.json says so too. */
export const USUAL = {
  weights: { cpu: 0.42, memory: 0.35, gpu: 0.23, io: 0.28, power: 0.11, stranding: 1, bonus: 1 },
  rebalance: { automatic: false, start_above: 0.2, gain: 0.25, moves_max: 20, parallel: 2, pause_s: 900 },
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

export function rebalancingFields(t: TFunction): Field[] {
  return [
    {
      name: "rebalance.automatic",
      label: t("policies.automatic"),
      kind: "check",
      help: t("policies.automatic_help"),
    },
    ...REBALANCING.map(
      (name): Field => ({
        name: `rebalance.${name}`,
        label: t(`policies.rebalancing.${name}`),
        kind: "number",
        initial: String(USUAL.rebalance[name]),
        help: t(`policies.rebalancing_help.${name}`),
        when: values => values["rebalance.automatic"] === true,
      }),
    ),
  ]
}
