/** Placement groups: VMs that belong together, or apart. */
import { Card, CardBody, CardTitle } from "@patternfly/react-core"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { moment } from "../../look/format"
import { command, wordsOf } from "../../parts/command"
import { Described, Labels } from "../../parts/described"
import { bodyOf, type Field, type Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { NounList } from "../../parts/noun-list"
import { NounPages } from "../../parts/noun-pages"
import { EditedDoing } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import type { Column } from "../../parts/virtual-table"
import { type Rule, rulesOf, ruleText } from "./rules"

type Group = RowOf<"PlacementGroup">

export default function Groups() {
  return <NounPages List={GroupList} One={OneGroup} />
}

function GroupList() {
  const { t } = useTranslation()
  const columns = useMemo<Column<Group>[]>(
    () => [
      {
        key: "summary",
        title: t("resource.summary"),
        width: "minmax(10rem, 3fr)",
        cell: of => <bdi title={of.spec.summary}>{of.spec.summary || "–"}</bdi>,
      },
      {
        key: "rules",
        title: t("groups.rules"),
        width: "minmax(14rem, 4fr)",
        cell: of => {
          const text = (of.spec.rules ?? []).map(ruleText).join("; ")
          return <span title={text}>{text || "–"}</span>
        },
      },
    ],
    [t],
  )
  return (
    <NounList
      kind="PlacementGroup"
      title={t("groups.title")}
      create={t("groups.create")}
      columns={columns}
      empty={t("groups.empty")}
      dialog={close => <GroupDialog close={close} />}
    />
  )
}

/** A new group, or another spec for one that is there. */
function GroupDialog({ of, close }: { of?: Group; close: () => void }) {
  const { t } = useTranslation()
  const fields: Field[] = [
    ...(of
      ? []
      : ([
          { name: "name", label: t("col.name"), kind: "text", required: true, help: t("resource.name_help") },
        ] satisfies Field[])),
    {
      name: "summary",
      label: t("resource.summary"),
      kind: "text",
      help: t("resource.summary_help"),
      initial: of?.spec.summary ?? "",
    },
    {
      name: "rules",
      label: t("groups.rules"),
      kind: "area",
      help: t("groups.rules_help"),
      initial: (of?.spec.rules ?? []).map(ruleText).join("\n"),
    },
    {
      name: "whole",
      label: t("groups.whole"),
      kind: "check",
      help: t("groups.whole_help"),
      initial: of?.spec.whole,
    },
  ]
  const spec = (values: Values) => ({
    summary: String(values.summary ?? ""),
    rules: rulesOf(String(values.rules ?? "")),
    whole: values.whole === true,
  })
  const name = fields.slice(0, 1)
  return (
    <AskDialog
      title={of ? t("resource.edit_title", { name: of.name }) : t("groups.create")}
      verb={of ? t("action.edit") : t("action.create")}
      name={of?.name ?? ""}
      fields={fields}
      request={values =>
        of
          ? {
              method: "PATCH",
              path: `/api/v1/groups/${of.id}`,
              body: { spec: spec(values) },
              ifMatch: of.revision,
            }
          : { method: "POST", path: "/api/v1/groups", body: { ...bodyOf(name, values), spec: spec(values) } }
      }
      command={values =>
        command(["corral", "group", of ? "set" : "create", of?.name ?? values.name], {
          rule: String(values.rules ?? "")
            .split("\n")
            .map(line => line.trim())
            .filter(Boolean),
          summary: values.summary,
          whole: values.whole,
          label: wordsOf(values.labels),
        })
      }
      onClose={close}
    />
  )
}

function OneGroup() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="PlacementGroup"
      above={[t("groups.title"), "/"]}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [{ key: "about", title: t("resource.about"), body: () => <About of={of} /> }]}
    />
  )
}

function Actions({ of }: { of: Group }) {
  const { t } = useTranslation()
  return (
    <EditedDoing
      kind="PlacementGroup"
      of={of}
      warning={t("groups.delete_warning", { name: of.name })}
      edit={close => <GroupDialog of={of} close={close} />}
    />
  )
}

function About({ of }: { of: Group }) {
  const { t } = useTranslation()
  return (
    <>
      <Card>
        <CardBody>
          <Described
            pairs={[
              [t("resource.summary"), of.spec.summary || "–"],
              [t("groups.whole"), of.spec.whole ? t("resource.yes") : t("resource.no")],
              [t("col.labels"), <Labels key="labels" of={of.labels} />],
              [t("col.created"), moment(of.created_at)],
              [t("resource.id"), <code key="id">{of.id}</code>],
            ]}
          />
        </CardBody>
      </Card>
      <Rules rules={of.spec.rules ?? []} />
    </>
  )
}

function Rules({ rules }: { rules: Rule[] }) {
  const { t } = useTranslation()
  return (
    <Card>
      <CardTitle component="h2">{t("groups.rules")}</CardTitle>
      <CardBody>
        <table className="simple-table">
          <thead>
            <tr>
              <th scope="col">{t("groups.kind")}</th>
              <th scope="col">{t("groups.towards")}</th>
              <th scope="col">{t("groups.strength")}</th>
            </tr>
          </thead>
          <tbody>
            {rules.map(rule => (
              <tr key={ruleText(rule)}>
                <td>{rule.kind === "affinity" ? t("groups.together") : t("groups.apart")}</td>
                <td>
                  {rule.nodes?.length
                    ? t("groups.nodes", { nodes: rule.nodes.join(", ") })
                    : t("groups.by", { domain: rule.domain ?? "node" })}
                </td>
                <td>
                  {rule.required === false
                    ? t("groups.preferred", { weight: rule.weight ?? 0.5 })
                    : t("groups.required")}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </CardBody>
    </Card>
  )
}
