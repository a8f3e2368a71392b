/** The rebalances of the last week, newest first: asked for, automatic ones, and drains. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation } from "wouter"
import type { Schemas } from "../../api/client"
import { ago, moment } from "../../look/format"
import { Phase } from "../../parts/phase"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import type { Column } from "../../parts/virtual-table"

export function movesDone(of: { status?: Schemas["RebalanceStatus"] }): string {
  const moves = of.status?.moves ?? []
  return `${moves.filter(move => move.state === "done").length} / ${moves.length}`
}

export function History() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const columns = useMemo<Column<RowOf<"Rebalance">>[]>(
    () => [
      {
        key: "created",
        title: t("operations.began"),
        width: "minmax(9rem, 1fr)",
        sort: "created_at",
        cell: of => (
          <Link href={`/${of.id}`} title={moment(of.created_at)}>
            {ago(of.created_at)}
          </Link>
        ),
      },
      {
        key: "goal",
        title: t("rebalance.goal"),
        width: "minmax(9rem, 1fr)",
        cell: of => t(`rebalance.goals_short.${of.spec?.goal ?? "balance"}`),
      },
      {
        key: "who",
        title: t("rebalance.automatic"),
        width: "8rem",
        cell: of => (of.spec?.automatic ? t("resource.yes") : t("resource.no")),
      },
      {
        key: "phase",
        title: t("col.phase"),
        width: "9rem",
        cell: of => <Phase phase={of.status?.phase ?? "planning"} />,
      },
      { key: "moves", title: t("rebalance.moves"), width: "7rem", align: "end", cell: movesDone },
      {
        key: "score",
        title: t("rebalance.score"),
        width: "minmax(9rem, 1fr)",
        align: "end",
        cell: of => `${(of.status?.before ?? 0).toFixed(3)} → ${(of.status?.after ?? 0).toFixed(3)}`,
      },
    ],
    [t],
  )
  return (
    <div className="rebalance-history">
      <ResourceList
        kind="Rebalance"
        label={t("rebalance.history")}
        columns={columns}
        sort="-created_at"
        empty={t("rebalance.no_history")}
        onOpen={of => go(`/${of.id}`)}
      />
    </div>
  )
}
