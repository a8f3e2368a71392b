/** The VMs of a node. */
import { useCallback, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useWindow } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { bytes } from "../../look/format"
import { Ago } from "../../parts/ago"
import { ResourceLink } from "../../parts/links"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { type Column, VirtualTable } from "../../parts/virtual-table"

export function VmsOnNode({ id }: { id: string }) {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const [range, setRange] = useState({ first: 0, last: 40 })
  const [sort, setSort] = useState("name")
  const rows = useWindow("VM", { sort, filter: `status.node=${id}` }, range.first, range.last)
  const onRange = useCallback((first: number, last: number) => setRange({ first, last }), [])
  const columns = useMemo<Column<Schemas["VM"]>[]>(
    () => [
      {
        key: "name",
        title: t("col.name"),
        width: "minmax(12rem, 3fr)",
        sort: "name",
        cell: vm => <ResourceLink of={vm} />,
      },
      {
        key: "phase",
        title: t("col.phase"),
        width: "8rem",
        sort: "status.phase",
        cell: vm => <Phase phase={vm.status?.phase} />,
      },
      {
        key: "cpus",
        title: t("col.cpus"),
        width: "5rem",
        sort: "spec.cpus",
        align: "end",
        cell: vm => vm.spec?.cpus,
      },
      {
        key: "memory",
        title: t("col.memory"),
        width: "7rem",
        sort: "spec.memory_bytes",
        align: "end",
        cell: vm => bytes(vm.spec?.memory_bytes),
      },
      {
        key: "created",
        title: t("col.created"),
        width: "10rem",
        sort: "created_at",
        cell: vm => <Ago at={vm.created_at} />,
      },
    ],
    [t],
  )
  if (!rows.loading && rows.total === 0) return <p>{t("state.empty")}</p>
  return (
    <>
      <Trouble of={rows.error} />
      <div className="nodes-table">
        <VirtualTable
          label={t("nodes.tab.vms")}
          columns={columns}
          total={rows.total}
          row={rows.row}
          rowKey={vm => vm.id}
          onRange={onRange}
          sort={sort}
          onSort={setSort}
          onOpen={vm => go(`~/vms/${vm.id}`)}
        />
      </div>
    </>
  )
}
