/** A new policy, or another spec for one that is there. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { command } from "../../parts/command"
import { begunWith, edited } from "../../parts/edited"
import { type Field, initialValues, type Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import type { RowOf } from "../../parts/resource-list"
import { rebalancingFields, specFields, USUAL, WEIGHTS } from "./fields"

type Policy = RowOf<"SchedulingPolicy">
type Props = {
  of?: Policy | undefined
  /** of the new one, where it is not asked for */
  name?: string
  /** only how the fleet is balanced by itself */
  rebalancing?: boolean
  close: () => void
}

export function PolicyDialog({ of, name: given = "", rebalancing = false, close }: Props) {
  const { t } = useTranslation()
  const called = of?.name ?? given
  const fields = useMemo(() => {
    const wanted = rebalancing ? rebalancingFields(t) : specFields(t, called === "default" || !called)
    return begunWith(wanted, of?.spec ?? {})
  }, [t, of, called, rebalancing])
  const name: Field[] = called
    ? []
    : [{ name: "name", label: t("col.name"), kind: "text", required: true, help: t("policies.name_help") }]
  const spec = (values: Values) => edited(fields, values, of?.spec ?? {})
  return (
    <AskDialog
      title={of ? t("resource.edit_title", { name: of.name }) : t("policies.create")}
      verb={of ? t("action.edit") : t("action.create")}
      name={called}
      fields={[...name, ...fields]}
      request={values =>
        of
          ? {
              method: "PATCH",
              path: `/api/v1/policies/${of.id}`,
              body: { spec: spec(values) },
              ifMatch: of.revision,
            }
          : {
              method: "POST",
              path: "/api/v1/policies",
              body: { name: called || String(values.name ?? ""), spec: spec(values) },
            }
      }
      command={values =>
        command(["corral", "policy", of ? "set" : "create", called || values.name], {
          summary: values.summary,
          score: values.score,
          spare: values.spare,
          weight: changedWeights(fields, values),
          rebalance: values["rebalance.automatic"] ? values["rebalance.goal"] : undefined,
        })
      }
      onClose={close}
    />
  )
}

/** Those that are not as they were, as `--weight` has them. */
function changedWeights(fields: Field[], values: Values): string[] {
  const before = initialValues(fields)
  return WEIGHTS.filter(name => {
    const value = values[`weights.${name}`]
    const usual = before[`weights.${name}`] ?? String(USUAL.weights[name])
    return value !== undefined && value !== usual
  }).map(name => `${name}=${values[`weights.${name}`]}`)
}
