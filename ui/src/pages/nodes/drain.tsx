/**
 * Drain: every VM off a node; first the plan, move by move, then the way it goes.
 *
 * Comes in       POST /rebalance/plan, as `corral node drain --dry-run` asks it; the rebalance that runs, live
 * Always true    nothing moves before its plan was shown; a drain that somebody else began is followed here too
 * Next door      drain-progress.tsx follows one; stuck.tsx says why a VM stays
 */
import { Alert, Button, Form, FormGroup, FormSelect, FormSelectOption, Spinner } from "@patternfly/react-core"
import { useQuery } from "@tanstack/react-query"
import { useCallback, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { useOne, useWindow } from "../../api/cache"
import { type Schemas, send } from "../../api/client"
import { bytes, span } from "../../look/format"
import { Equivalent, quote } from "../../parts/code"
import { ResourceLink } from "../../parts/links"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { type Column, VirtualTable } from "../../parts/virtual-table"
import { useMay } from "../../session/session"
import { DrainProgress } from "./drain-progress"
import { empties } from "./moves"
import { StuckVms } from "./stuck"
import "../overview/overview.css"

type Plan = Schemas["PlanAnswer"]
type Move = Schemas["PlannedMigration"]
const MOVES_MAX = 10_000 // as the command line asks
const PARALLEL = [1, 2, 4, 8, 16]

export function DrainPage({ id }: { id: string }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const may = useMay("operator")
  const node = useOne("Node", id)
  const [parallel, setParallel] = useState(2)
  const [begun, setBegun] = useState("") // id of the rebalance
  const running = useRunning(node.data?.id ?? "")
  const following = begun || running
  const name = node.data?.name ?? id
  const asked = { goal: "drain", nodes: [name], parallel, moves_max: MOVES_MAX }
  const plan = useQuery({
    queryKey: ["drain-plan", id, parallel],
    queryFn: () => send<Plan>("POST", "/api/v1/rebalance/plan", asked),
    enabled: node.data !== undefined && !following,
    gcTime: 0,
  })

  const run = async () => {
    const operation = await ask({
      verb: t("nodes.verb.drain"),
      name,
      method: "POST",
      path: "/api/v1/rebalance",
      body: asked,
    })
    if (operation) setBegun(operation.spec.target.id)
  }

  return (
    <Page
      title={t("nodes.drain.title", { name })}
      above={[
        [t("nodes.title"), "/"],
        [name, `/${id}`],
      ]}
      aside={<Phase phase={node.data?.status.phase} />}
      actions={
        !following &&
        may && (
          <Button isDisabled={!plan.data || plan.isFetching} onClick={run}>
            {t("nodes.drain.run", { name })}
          </Button>
        )
      }
    >
      <Trouble of={node.error ?? plan.error} onRetry={() => void plan.refetch()} />
      {following ? (
        <DrainProgress id={following} node={id} />
      ) : (
        <>
          <Form isHorizontal className="drain-form" onSubmit={event => event.preventDefault()}>
            <FormGroup label={t("nodes.drain.parallel")} fieldId="drain-parallel">
              <div className="row">
                <FormSelect
                  id="drain-parallel"
                  className="drain-parallel"
                  value={parallel}
                  onChange={(_, value) => setParallel(Number(value))}
                >
                  {PARALLEL.map(n => (
                    <FormSelectOption key={n} value={n} label={String(n)} />
                  ))}
                </FormSelect>
                <Button variant="secondary" isDisabled={plan.isFetching} onClick={() => void plan.refetch()}>
                  {t("nodes.drain.again")}
                </Button>
              </div>
            </FormGroup>
          </Form>
          {plan.isFetching ? (
            <p role="status" className="row">
              <Spinner size="md" aria-hidden /> {t("nodes.drain.planning")}
            </p>
          ) : (
            plan.data && <PlanView plan={plan.data} />
          )}
          <Equivalent
            command={`corral node drain ${quote(name)} --parallel ${parallel} --dry-run\ncorral node drain ${quote(name)} --parallel ${parallel}`}
            call={{ method: "POST", path: "/api/v1/rebalance", body: asked }}
          />
        </>
      )}
    </Page>
  )
}

/** A drain of this node that is on its way already. */
function useRunning(node: string): string {
  const newest = useWindow("Rebalance", { sort: "-created_at" }, 0, 9)
  for (let n = 0; n < Math.min(10, newest.total); n += 1) {
    const rebalance = newest.row(n)
    if (rebalance && empties(rebalance, node)) return rebalance.id
  }
  return ""
}

function PlanView({ plan }: { plan: Plan }) {
  const { t } = useTranslation()
  const columns = useColumns()
  const nothing = useCallback(() => undefined, [])
  if (plan.moves.length === 0 && plan.behind.length === 0) return <p>{t("nodes.drain.nothing")}</p>
  return (
    <section aria-label={t("nodes.drain.plan")} className="page-part drain-plan">
      <p>
        <strong>
          {t("nodes.drain.summary", {
            count: plan.moves.length,
            bytes: bytes(plan.forecast_bytes),
            time: span(plan.forecast_s),
          })}
        </strong>{" "}
        {t("nodes.drain.score", { before: plan.score_before.toFixed(3), after: plan.score_after.toFixed(3) })}
      </p>
      {plan.behind.length > 0 && (
        <Alert isInline variant="warning" title={t("nodes.drain.stuck", { count: plan.behind.length })}>
          <p>{t("nodes.drain.stuck_note")}</p>
          <StuckVms vms={plan.behind} />
        </Alert>
      )}
      {plan.moves.length > 0 && (
        <div className="nodes-table">
          <VirtualTable
            label={t("nodes.drain.plan")}
            columns={columns}
            total={plan.moves.length}
            row={index => plan.moves[index]}
            rowKey={move => `${move.vm.id}-${move.wave}`}
            onRange={nothing}
          />
        </div>
      )}
    </section>
  )
}

function useColumns(): Column<Move>[] {
  const { t } = useTranslation()
  return useMemo(
    () => [
      { key: "wave", title: t("nodes.drain.wave"), width: "4.5rem", align: "end", cell: m => m.wave },
      {
        key: "vm",
        title: t("nodes.drain.vm"),
        width: "minmax(10rem, 3fr)",
        cell: m => <ResourceLink of={m.vm} />,
      },
      {
        key: "to",
        title: t("nodes.drain.to"),
        width: "minmax(9rem, 2fr)",
        cell: m => (
          <>
            <ResourceLink of={m.target} /> {m.stepping_stone && `(${t("nodes.drain.for_now")})`}
          </>
        ),
      },
      {
        key: "sends",
        title: t("nodes.drain.sends"),
        width: "6rem",
        align: "end",
        cell: m => bytes(m.forecast_bytes),
      },
      {
        key: "takes",
        title: t("nodes.drain.takes"),
        width: "6rem",
        align: "end",
        cell: m => span(m.forecast_s),
      },
      {
        key: "pause",
        title: t("nodes.drain.pause"),
        width: "6rem",
        align: "end",
        cell: m => `${Math.round(m.forecast_downtime_ms)} ms`,
      },
      { key: "score", title: "R", width: "5rem", align: "end", cell: m => m.score.toFixed(3) },
    ],
    [t],
  )
}
