/** Events: what happened, newest first, as it happens. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { ago, moment } from "../../look/format"
import type { Wanted } from "../../parts/conditions"
import { ResourceLink } from "../../parts/links"
import { Page } from "../../parts/page"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import type { Column } from "../../parts/virtual-table"
import { Level } from "./line"
import "../operations/operations.css"

const LEVELS = ["error", "warning", "info"] as const
const KINDS = ["VM", "Node", "Volume", "Image", "StoragePool", "Network", "Rebalance", "Snapshot"]

export default function Events() {
  const { t } = useTranslation()
  const wanted = useMemo<Wanted[]>(
    () => [
      {
        key: "level",
        label: t("events.severity"),
        path: "spec.level",
        operator: "=",
        choices: LEVELS.map(value => ({ value, label: t(`events.level.${value}`) })),
      },
      {
        key: "kind",
        label: t("col.kind"),
        path: "spec.about.kind",
        operator: "=",
        choices: KINDS.map(value => ({ value, label: value })),
      },
      { key: "about", label: t("events.about_name"), path: "about", operator: "~" },
      { key: "message", label: t("events.message_has"), path: "spec.message", operator: "~" },
    ],
    [t],
  )
  const columns = useMemo<Column<RowOf<"Event">>[]>(
    () => [
      {
        key: "at",
        title: t("events.at"),
        width: "9rem",
        sort: "created_at",
        cell: of => <span title={moment(of.created_at)}>{ago(of.created_at)}</span>,
      },
      {
        key: "level",
        title: t("events.severity"),
        width: "7rem",
        sort: "spec.level",
        cell: of => <Level level={of.spec.level} />,
      },
      {
        key: "about",
        title: t("events.about"),
        width: "minmax(12rem, 2fr)",
        cell: of => (
          <>
            <span className="kind-word">{of.spec.about.kind}</span> <ResourceLink of={of.spec.about} />
          </>
        ),
      },
      {
        key: "message",
        title: t("events.message"),
        width: "minmax(20rem, 6fr)",
        cell: of => (
          <bdi title={of.spec.message} className="name">
            {of.spec.message}
          </bdi>
        ),
      },
      {
        key: "reason",
        title: t("events.reason"),
        width: "9rem",
        sort: "spec.reason",
        cell: of => of.spec.reason,
      },
      { key: "by", title: t("operations.by"), width: "7rem", cell: of => <bdi>{of.spec.by || "–"}</bdi> },
    ],
    [t],
  )
  return (
    <Page title={t("events.title")}>
      <ResourceList
        kind="Event"
        label={t("events.title")}
        columns={columns}
        wanted={wanted}
        sort="-created_at"
        empty={t("events.empty")}
      />
    </Page>
  )
}
