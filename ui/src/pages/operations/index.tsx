/** Operations: what was asked for by whom, and how it goes. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { Link, Route, Switch, useLocation } from "wouter"
import type { Schemas } from "../../api/client"
import { ago, moment, serverNowS, span } from "../../look/format"
import type { Wanted } from "../../parts/conditions"
import { ResourceLink } from "../../parts/links"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import type { Column } from "../../parts/virtual-table"
import { phaseText } from "../../text"
import { Going } from "./going"
import { OneOperation } from "./one"
import { tookS } from "./steps"
import { VERBS, verbText } from "./verbs"
import "./operations.css"

const STATES: Schemas["OperationState"][] = ["running", "succeeded", "failed", "cancelled"]

export default function Operations() {
  return (
    <Switch>
      <Route path="/:id">
        <OneOperation />
      </Route>
      <Route>
        <OperationList />
      </Route>
    </Switch>
  )
}

function OperationList() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const wanted = useMemo<Wanted[]>(
    () => [
      {
        key: "state",
        label: t("col.status"),
        path: "status.state",
        operator: "=",
        choices: STATES.map(value => ({ value, label: phaseText(t, value) })),
      },
      {
        key: "verb",
        label: t("operations.verb"),
        path: "spec.verb",
        operator: "=",
        choices: VERBS.map(value => ({ value, label: verbText(t, value) })),
      },
      { key: "target", label: t("operations.target_name"), path: "target", operator: "~" },
      { key: "by", label: t("operations.by"), path: "spec.by", operator: "~" },
    ],
    [t],
  )
  const columns = useMemo<Column<RowOf<"Operation">>[]>(
    () => [
      {
        key: "verb",
        title: t("operations.verb"),
        width: "7rem",
        sort: "spec.verb",
        cell: of => <Link href={`/${of.id}`}>{verbText(t, of.spec.verb)}</Link>,
      },
      {
        key: "target",
        title: t("operations.target"),
        width: "minmax(11rem, 3fr)",
        cell: of => (
          <>
            <span className="kind-word">{of.spec.target.kind}</span> <ResourceLink of={of.spec.target} />
          </>
        ),
      },
      {
        key: "state",
        title: t("col.status"),
        width: "8rem",
        sort: "status.state",
        cell: of => <Phase phase={of.status?.state} />,
      },
      {
        key: "step",
        title: t("operations.now"),
        width: "minmax(9rem, 3fr)",
        cell: of => <Going of={of} />,
      },
      {
        key: "by",
        title: t("operations.by"),
        width: "minmax(6rem, 1fr)",
        sort: "spec.by",
        cell: of => <bdi>{of.spec.by || "–"}</bdi>,
      },
      {
        key: "created",
        title: t("operations.began"),
        width: "9rem",
        sort: "created_at",
        cell: of => <span title={moment(of.created_at)}>{ago(of.created_at)}</span>,
      },
      {
        key: "took",
        title: t("operations.took"),
        width: "7rem",
        align: "end",
        cell: of => span(tookS(of, serverNowS())),
      },
    ],
    [t],
  )
  return (
    <Page title={t("operations.title")}>
      <ResourceList
        kind="Operation"
        label={t("operations.title")}
        columns={columns}
        wanted={wanted}
        sort="-created_at"
        empty={t("operations.empty")}
        onOpen={of => go(`/${of.id}`)}
      />
    </Page>
  )
}
