/**
 * The list of VMs: any number of rows, without pages; what is looked for stands in the address.
 *
 * Next door      filters.ts, purely; filter-bar.tsx; bulk.tsx does something with the chosen ones
 */
import { Button } from "@patternfly/react-core"
import { useCallback, useMemo, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation, useSearch } from "wouter"
import { useAll, useWindow } from "../../api/cache"
import { getJson, type Schemas } from "../../api/client"
import { listPath } from "../../api/kinds"
import { ago, bytes, count } from "../../look/format"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { type Column, VirtualTable } from "../../parts/virtual-table"
import { useMay } from "../../session/session"
import { Bulk, type Chosen } from "./bulk"
import { FilterBar } from "./filter-bar"
import { type Filters, fromAddress, toAddress, toQuery } from "./filters"

type Row = Schemas["VM"] & { id: string }
const CHOSEN_MAX = 1_000

export function VmList() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const search = useSearch()
  const filters = useMemo(() => fromAddress(search), [search])
  const query = useMemo(() => toQuery(filters), [filters])
  const [range, setRange] = useState({ first: 0, last: 40 })
  const rows = useWindow("VM", query, range.first, range.last)
  const names = useNodeNames()
  const may = useMay("operator")
  const [chosen, setChosen] = useState<ReadonlyMap<string, Chosen>>(new Map())
  const lastChosen = useRef<number | null>(null)

  const setFilters = useCallback(
    (next: Filters) => go(`/?${toAddress(next)}`.replace(/\?$/, ""), { replace: true }),
    [go],
  )
  const columns = useColumns(names)
  const onRange = useCallback((first: number, last: number) => setRange({ first, last }), [])

  const choose = useCallback(
    (vm: Row, take: boolean, span: boolean) => {
      const index = indexOf(vm.id)
      setChosen(before => {
        const next = new Map(before)
        const from = span && lastChosen.current !== null ? lastChosen.current : index
        for (let n = Math.min(from, index); n <= Math.max(from, index); n++) {
          const row = n === index ? vm : rows.row(n)
          if (!row) continue
          if (take) next.set(row.id, { id: row.id, name: row.name })
          else next.delete(row.id)
        }
        return next
      })
      lastChosen.current = index
    },
    [rows.row],
  )

  const chooseAll = async () => {
    const words = new URLSearchParams({ limit: String(CHOSEN_MAX), fields: "name", ...query })
    for (const key of ["filter", "label"]) if (!words.get(key)) words.delete(key)
    const all = await getJson<{ items: Chosen[] }>(`${listPath("VM")}?${words}`)
    setChosen(new Map(all.items.map(vm => [vm.id, vm])))
  }

  return (
    <Page
      title={t("vms.title")}
      aside={<span>{t("list.rows", { count: rows.total, defaultValue: count(rows.total) })}</span>}
      actions={may && <Button component={props => <Link {...props} href="/new" />}>{t("vms.create")}</Button>}
    >
      <FilterBar filters={filters} onChange={setFilters} nodes={names} />
      {may && (
        <Bulk
          chosen={chosen}
          total={rows.total}
          most={CHOSEN_MAX}
          onAll={() => void chooseAll()}
          onNone={() => setChosen(new Map())}
        />
      )}
      <Trouble of={rows.error} />
      {rows.total === 0 && !rows.loading && !rows.error ? (
        <p className="quiet">{t("list.no_match")}</p>
      ) : (
        <VirtualTable
          label={t("vms.title")}
          columns={columns}
          total={rows.total}
          row={rows.row}
          rowKey={idOf}
          onRange={onRange}
          sort={filters.sort}
          onSort={sort => setFilters({ ...filters, sort })}
          {...(may ? { selected: new Set(chosen.keys()), onSelect: choose } : {})}
          onOpen={vm => go(`/${vm.id}`)}
        />
      )}
    </Page>
  )
}

const idOf = (vm: Row) => vm.id

/** Place of a row on screen in the whole list. */
function indexOf(id: string): number {
  return Number(document.querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`)?.dataset.index ?? 0)
}

export function useNodeNames(): ReadonlyMap<string, string> {
  const nodes = useAll("Node")
  return useMemo(() => new Map(nodes.data?.items.map(n => [n.id, n.name])), [nodes.data])
}

function useColumns(names: ReadonlyMap<string, string>): Column<Row>[] {
  const { t } = useTranslation()
  return useMemo(
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
        cell: vm => {
          const id = vm.status?.node
          return id ? (
            <Link href={`~/nodes/${id}`} className="name" dir="auto">
              {names.get(id) ?? id}
            </Link>
          ) : (
            "–"
          )
        },
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
        key: "address",
        title: t("vms.address"),
        width: "minmax(8rem, 2fr)",
        cell: vm => vm.status?.guest?.addresses?.join(", ") || "–",
      },
      {
        key: "created",
        title: t("col.created"),
        width: "9rem",
        sort: "created_at",
        cell: vm => ago(vm.created_at),
      },
    ],
    [t, names],
  )
}
