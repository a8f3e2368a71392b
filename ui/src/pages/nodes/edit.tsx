/** Edit: what of a node VMs may have, where it stands, its labels. */
import { useTranslation } from "react-i18next"
import type { Node } from "../../api/kinds"
import type { Field, Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { bodyOf, commandOf, type Fields, fieldsOf } from "./fields"

const NAMES = [
  "rack",
  "cpu_overcommit",
  "memory_overcommit",
  "reserve_cpus",
  "reserve_memory",
  "dedicated_cpus",
] as const

export function EditNode({ node, onClose }: { node: Node; onClose: () => void }) {
  const { t } = useTranslation()
  const now = fieldsOf(node)
  const help: Partial<Record<keyof Fields, string>> = {
    reserve_memory: t("nodes.edit.size_help"),
    dedicated_cpus: t("nodes.edit.cpus_help"),
  }
  const fields: Field[] = [
    ...NAMES.map(
      (name): Field => ({
        name,
        label: t(`nodes.field.${name}`),
        kind: "text",
        initial: now[name],
        help: help[name],
      }),
    ),
    {
      name: "labels",
      label: t("nodes.field.labels"),
      kind: "labels",
      initial: now.labels,
      help: t("resource.labels_help"),
    },
  ]
  const told = (values: Values) => ({ ...now, ...values }) as Fields
  return (
    <AskDialog
      title={t("nodes.edit.title", { name: node.name })}
      verb={t("nodes.verb.edit")}
      submit={t("action.save")}
      name={node.name}
      fields={fields}
      request={values => ({
        method: "PATCH",
        path: `/api/v1/nodes/${node.id}`,
        body: bodyOf(now, told(values)),
        ifMatch: node.revision,
      })}
      command={values => commandOf(node.name, now, told(values))}
      onClose={onClose}
    />
  )
}
