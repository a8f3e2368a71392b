/**
 * The list of nodes: sorted and filtered in the browser, over the figures of all nodes that it has anyway.
 *
 * Next door      rows.ts sorts and filters, purely; what a node tells of itself is read for the rows on screen only
 */
import { Button, FormSelect, FormSelectOption, SearchInput } from "@patternfly/react-core"
import { useCallback, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation, useSearchParams } from "wouter"
import { useOne } from "../../api/cache"
import { type Cell, cellAt, readFleet, useCells } from "../../api/fleet"
import { count, percent } from "../../look/format"
import { Meter } from "../../parts/meter"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { type Column, VirtualTable } from "../../parts/virtual-table"
import { useMay } from "../../session/session"
import { phaseText } from "../../text"
import { JoinDialog } from "./join"
import { rowsOf } from "./rows"

const PHASES = ["ready", "cordoned", "lost", "joining"] as const

export function NodeList() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const [params, setParams] = useSearchParams()
  const [joining, setJoining] = useState(false)
  const admin = useMay("admin")
  const { data: columns, error } = useCells()
  const name = params.get("name") ?? ""
  const phase = params.get("phase") ?? ""
  const sort = params.get("sort") ?? "name"
  const rows = useMemo(
    () => (columns ? rowsOf(columns, { name, phase, sort }) : []),
    [columns, name, phase, sort],
  )
  const set = useCallback(
    (key: string, value: string) =>
      setParams(
        before => {
          const next = new URLSearchParams(before)
          if (value) next.set(key, value)
          else next.delete(key)
          return next
        },
        { replace: true },
      ),
    [setParams],
  )
  const shown = useColumns()
  const nothing = useCallback(() => undefined, [])

  return (
    <Page
      title={t("nodes.title")}
      aside={columns && <span>{count(rows.length)}</span>}
      actions={admin && <Button onClick={() => setJoining(true)}>{t("nodes.add")}</Button>}
    >
      <Trouble of={error} onRetry={readFleet} />
      <div className="row">
        <div className="nodes-search">
          <SearchInput
            aria-label={t("list.search")}
            placeholder={t("list.search")}
            value={name}
            onChange={(_, value) => set("name", value)}
            onClear={() => set("name", "")}
          />
        </div>
        <FormSelect
          className="nodes-phase"
          aria-label={t("nodes.filter_phase")}
          value={phase}
          onChange={(_, value) => set("phase", value)}
        >
          <FormSelectOption value="" label={t("nodes.all_phases")} />
          {PHASES.map(p => (
            <FormSelectOption key={p} value={p} label={phaseText(t, p)} />
          ))}
        </FormSelect>
      </div>
      {columns && rows.length === 0 ? (
        <p role="status">
          {t("list.no_match")}. {t("list.no_match_hint")}
        </p>
      ) : (
        <VirtualTable
          label={t("nodes.title")}
          columns={shown}
          total={rows.length}
          row={index => columns && cellAt(columns, rows[index] ?? -1)}
          rowKey={cell => cell.id}
          onRange={nothing}
          sort={sort}
          onSort={value => set("sort", value)}
          onOpen={cell => go(`/${cell.id}`)}
        />
      )}
      {joining && <JoinDialog onClose={() => setJoining(false)} />}
    </Page>
  )
}

function useColumns(): Column<Cell>[] {
  const { t } = useTranslation()
  return useMemo(
    () => [
      {
        key: "name",
        title: t("col.name"),
        width: "minmax(9rem, 2fr)",
        sort: "name",
        cell: cell => (
          <Link href={`/${cell.id}`} className="name" dir="auto" title={cell.name}>
            {cell.name}
          </Link>
        ),
      },
      {
        key: "phase",
        title: t("col.phase"),
        width: "7rem",
        sort: "phase",
        cell: cell => <Phase phase={cell.phase} />,
      },
      {
        key: "rack",
        title: t("nodes.col.rack"),
        width: "6rem",
        sort: "rack",
        cell: cell => cell.rack || "–",
      },
      {
        key: "cpu",
        title: t("nodes.col.cpu"),
        width: "minmax(7.5rem, 1.5fr)",
        sort: "cpu_claimed",
        cell: cell => <Shares title={t("nodes.col.cpu")} claimed={cell.cpu_claimed} used={cell.cpu_used} />,
      },
      {
        key: "memory",
        title: t("nodes.col.memory"),
        width: "minmax(7.5rem, 1.5fr)",
        sort: "memory_claimed",
        cell: cell => (
          <Shares title={t("nodes.col.memory")} claimed={cell.memory_claimed} used={cell.memory_used} />
        ),
      },
      {
        key: "cpu_used",
        title: t("nodes.col.cpu_used"),
        width: "6.5rem",
        sort: "cpu_used",
        align: "end",
        cell: cell => percent(cell.cpu_used),
      },
      {
        key: "vms",
        title: t("nodes.col.vms"),
        width: "4rem",
        sort: "vms",
        align: "end",
        cell: cell => count(cell.vms),
      },
      {
        key: "accelerator",
        title: t("nodes.col.accelerator"),
        width: "6rem",
        cell: cell => <Told id={cell.id} what="accelerator" />,
      },
      {
        key: "version",
        title: t("nodes.col.version"),
        width: "4.5rem",
        cell: cell => <Told id={cell.id} what="version" />,
      },
    ],
    [t],
  )
}

function Shares({ title, claimed, used }: { title: string; claimed: number; used: number | null }) {
  const { t } = useTranslation()
  return (
    <div title={t("nodes.claimed_used", { claimed: percent(claimed), used: percent(used) })}>
      <Meter compact label={title} claimed={claimed} used={used} />
    </div>
  )
}

/** What a node says of itself; read when its row is on screen. */
function Told({ id, what }: { id: string; what: "accelerator" | "version" }) {
  const { t } = useTranslation()
  const node = useOne("Node", id).data
  if (!node) return <span>…</span>
  if (what === "version") return <bdi>{node.status.agent_version || "–"}</bdi>
  const { kind, reason } = node.status.inventory.accelerator
  return <span title={reason}>{kind === "kvm" ? "KVM" : t("nodes.emulated")}</span>
}
