/** Drain on its way: how far it is, where each VM is, and a way to stop it. */
import { Button, Progress } from "@patternfly/react-core"
import { useCallback, useMemo } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "wouter"
import { useAsk } from "../../api/asks"
import { useOne, useWindow } from "../../api/cache"
import { placesOf, useCells } from "../../api/fleet"
import { span } from "../../look/format"
import { ResourceLink } from "../../parts/links"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { type Column, VirtualTable } from "../../parts/virtual-table"
import { useMay } from "../../session/session"
import { counted, drainOf, type Move } from "./moves"
import { StuckVms } from "./stuck"

export function DrainProgress({ id, node }: { id: string; node: string }) {
  const { t } = useTranslation()
  const { data: rebalance, error } = useOne("Rebalance", id)
  const columns = useColumns()
  const nothing = useCallback(() => undefined, [])
  if (error) return <Trouble of={error} />
  if (!rebalance) return <p role="status">{t("state.loading")}</p>
  const { phase, moves, behind, trouble } = drainOf(rebalance)
  const { done, total } = counted(moves)
  const ended = phase !== "planning" && phase !== "moving"
  const share = total > 0 ? Math.round((done / total) * 100) : phase === "done" ? 100 : 0
  return (
    <section aria-label={t("nodes.drain.progress")} className="page-part drain-plan">
      <div className="row">
        <Phase phase={phase} />
        <strong role="status">{t("nodes.drain.moved", { done, total })}</strong>
        {ended ? (
          <Link href={`/${node}`}>{t("nodes.drain.ended")}</Link>
        ) : (
          <Stop id={id} name={rebalance.name} />
        )}
      </div>
      <Progress
        value={share}
        aria-label={t("nodes.drain.progress")}
        {...(phase === "failed" ? { variant: "danger" as const } : {})}
      />
      <Trouble of={trouble} />
      {behind.length > 0 && <StuckVms vms={behind.map(vm => ({ kind: "VM", id: vm, name: vm }))} />}
      {moves.length > 0 && (
        <div className="nodes-table">
          <VirtualTable
            label={t("nodes.drain.progress")}
            columns={columns}
            total={moves.length}
            row={index => moves[index]}
            rowKey={move => `${move.vm}-${move.plan}-${move.wave}`}
            onRange={nothing}
          />
        </div>
      )}
    </section>
  )
}

/** Stops it: what moves at present arrives, nothing else begins. */
function Stop({ id, name }: { id: string; name: string }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const may = useMay("operator")
  const operations = useWindow("Operation", { filter: `spec.target.id=${id},status.state=running` }, 0, 0)
  const operation = operations.row(0)
  if (!may || !operation) return null
  return (
    <Button
      variant="secondary"
      size="sm"
      isDisabled={operation.spec.cancel}
      onClick={() =>
        ask({
          verb: t("nodes.drain.cancel"),
          name,
          method: "POST",
          path: `/api/v1/operations/${operation.id}/cancel`,
        })
      }
    >
      {t("nodes.drain.cancel")}
    </Button>
  )
}

/** A VM whose name is asked for when its row is on screen. */
function VmLink({ id }: { id: string }) {
  const vm = useOne("VM", id).data
  return <ResourceLink of={{ kind: "VM", id, name: vm?.name ?? id }} />
}

function NodeLink({ id }: { id: string }) {
  const { data: cells } = useCells()
  const name = cells?.names[placesOf(cells.ids).get(id) ?? -1]
  return <ResourceLink of={{ kind: "Node", id, name: name ?? id }} />
}

function useColumns(): Column<Move>[] {
  const { t } = useTranslation()
  return useMemo(
    () => [
      {
        key: "state",
        title: t("nodes.drain.state"),
        width: "8rem",
        cell: m => <Phase phase={m.state} />,
      },
      { key: "vm", title: t("nodes.drain.vm"), width: "minmax(10rem, 3fr)", cell: m => <VmLink id={m.vm} /> },
      {
        key: "to",
        title: t("nodes.drain.to"),
        width: "minmax(9rem, 2fr)",
        cell: m => <NodeLink id={m.target} />,
      },
      {
        key: "takes",
        title: t("nodes.drain.takes"),
        width: "6rem",
        align: "end",
        cell: m => span(m.forecast_s),
      },
      {
        key: "trouble",
        title: t("col.status"),
        width: "minmax(8rem, 2fr)",
        cell: m => m.trouble?.message ?? "",
      },
    ],
    [t],
  )
}
