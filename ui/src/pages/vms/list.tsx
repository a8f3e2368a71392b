/** The list of VMs: any number of rows, without pages. */
import { useCallback, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation } from "wouter"
import { useAll, useWindow } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { ago, bytes, count } from "../../look/format"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { type Column, VirtualTable } from "../../parts/virtual-table"

type Row = Schemas["VM"] & { id: string }

export function VmList() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const [range, setRange] = useState({ first: 0, last: 40 })
  const [sort, setSort] = useState("name")
  const rows = useWindow("VM", { sort }, range.first, range.last)
  const nodes = useAll("Node")
  const names = useMemo(() => new Map(nodes.data?.items.map(n => [n.id, n.name])), [nodes.data])

  const columns = useMemo<Column<Row>[]>(
    () => [
      {
        key: "name",
        title: t("col.name"),
        width: "minmax(12rem, 3fr)",
        sort: "name",
        cell: vm => (
          <Link href={`/${vm.id}`} className="name" dir="auto" title={vm.name}>
            {vm.name}
          </Link>
        ),
      },
      {
        key: "phase",
        title: t("col.phase"),
        width: "8rem",
        sort: "status.phase",
        cell: vm => <Phase phase={vm.status?.phase} />,
      },
      {
        key: "node",
        title: t("col.node"),
        width: "minmax(8rem, 2fr)",
        sort: "status.node",
        cell: vm => names.get(vm.status?.node ?? "") ?? vm.status?.node ?? "–",
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
        cell: vm => ago(vm.created_at),
      },
    ],
    [t, names],
  )
  const onRange = useCallback((first: number, last: number) => setRange({ first, last }), [])

  return (
    <Page
      title={t("vms.title")}
      aside={<span>{t("list.rows", { count: rows.total, defaultValue: count(rows.total) })}</span>}
    >
      <Trouble of={rows.error} />
      <VirtualTable
        label={t("vms.title")}
        columns={columns}
        total={rows.total}
        row={rows.row}
        rowKey={vm => vm.id}
        onRange={onRange}
        sort={sort}
        onSort={setSort}
        onOpen={vm => go(`/${vm.id}`)}
      />
    </Page>
  )
}
