/** Scheduling policies: how nodes are chosen. The one called `default` counts for VMs that name none. */
import { Card, CardBody, CardTitle, Label } from "@patternfly/react-core"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { moment } from "../../look/format"
import { Described, Labels } from "../../parts/described"
import { NounList } from "../../parts/noun-list"
import { NounPages } from "../../parts/noun-pages"
import { EditedDoing } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import type { Column } from "../../parts/virtual-table"
import { PolicyDialog } from "./dialog"
import { rebalancingPairs, SCORES, USUAL, WEIGHTS } from "./fields"

export type Policy = RowOf<"SchedulingPolicy">
const DEFAULT = "default"

export default function Policies() {
  return <NounPages List={PolicyList} One={OnePolicy} />
}

function PolicyList() {
  const { t } = useTranslation()
  const columns = useMemo<Column<Policy>[]>(
    () => [
      {
        key: "default",
        title: t("policies.counts"),
        width: "10rem",
        cell: of => (of.name === DEFAULT ? <Default /> : t("policies.where_named")),
      },
      {
        key: "summary",
        title: t("resource.summary"),
        width: "minmax(9rem, 3fr)",
        cell: of => <bdi title={of.spec.summary}>{of.spec.summary || "–"}</bdi>,
      },
      {
        key: "score",
        title: t("policies.score"),
        width: "7rem",
        sort: "spec.score",
        cell: of => of.spec.score ?? "balance",
      },
      {
        key: "spare",
        title: t("policies.spare"),
        width: "7rem",
        sort: "spec.spare",
        cell: of => t(`policies.spares_short.${of.spec.spare ?? "none"}`),
      },
      {
        key: "automatic",
        title: t("policies.automatic"),
        width: "8rem",
        cell: of => (of.spec.rebalance?.automatic ? t("resource.yes") : t("resource.no")),
      },
    ],
    [t],
  )
  return (
    <NounList
      kind="SchedulingPolicy"
      title={t("policies.title")}
      create={t("policies.create")}
      columns={columns}
      empty={t("policies.empty")}
      dialog={close => <PolicyDialog close={close} />}
    >
      <Card isCompact>
        <CardTitle component="h2">{t("policies.built_in")}</CardTitle>
        <CardBody>
          <Described pairs={SCORES.map(score => [score, t(`policies.scores.${score}`)])} />
        </CardBody>
      </Card>
    </NounList>
  )
}

function Default() {
  const { t } = useTranslation()
  return (
    <Label isCompact status="success" variant="outline">
      {t("policies.default")}
    </Label>
  )
}

function OnePolicy() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="SchedulingPolicy"
      above={[t("policies.title"), "/"]}
      aside={of => of.name === DEFAULT && <Default />}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [{ key: "about", title: t("resource.about"), body: () => <About of={of} /> }]}
    />
  )
}

function Actions({ of }: { of: Policy }) {
  const { t } = useTranslation()
  return (
    <EditedDoing
      kind="SchedulingPolicy"
      of={of}
      warning={t("policies.delete_warning", { name: of.name })}
      edit={close => <PolicyDialog of={of} close={close} />}
    />
  )
}

function About({ of }: { of: Policy }) {
  const { t } = useTranslation()
  const { spec } = of
  const weights = { ...USUAL.weights, ...spec.weights }
  return (
    <>
      <div className="wide-cards">
        <Card>
          <CardBody>
            <Described
              pairs={[
                [t("resource.summary"), spec.summary || "–"],
                [
                  t("policies.score"),
                  `${spec.score ?? "balance"}: ${t(`policies.scores.${spec.score ?? "balance"}`)}`,
                ],
                [t("policies.spare"), t(`policies.spares.${spec.spare ?? "none"}`)],
                [t("col.labels"), <Labels key="labels" of={of.labels} />],
                [t("col.created"), moment(of.created_at)],
                [t("resource.id"), <code key="id">{of.id}</code>],
              ]}
            />
          </CardBody>
        </Card>
        {of.name === DEFAULT && (
          <Card>
            <CardTitle component="h2">{t("policies.automatic")}</CardTitle>
            <CardBody>
              <Described
                pairs={[
                  [t("policies.automatic"), spec.rebalance?.automatic ? t("resource.yes") : t("resource.no")],
                  ...rebalancingPairs(t, spec.rebalance),
                ]}
              />
            </CardBody>
          </Card>
        )}
      </div>
      <Card>
        <CardTitle component="h2">{t("policies.weights_title")}</CardTitle>
        <CardBody>
          <p>{t("policies.equation")}</p>
          <table className="simple-table">
            <thead>
              <tr>
                <th scope="col">{t("policies.term")}</th>
                <th scope="col" className="end">
                  {t("policies.weight")}
                </th>
                <th scope="col">{t("policies.meaning")}</th>
              </tr>
            </thead>
            <tbody>
              {WEIGHTS.map(name => (
                <tr key={name}>
                  <th scope="row">{t(`policies.weights.${name}`)}</th>
                  <td className="end">{weights[name]}</td>
                  <td>{t(`policies.weights_help.${name}`)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </CardBody>
      </Card>
    </>
  )
}
