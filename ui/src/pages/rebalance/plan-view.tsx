/** A plan: how full nodes are before and after, each move with what it costs, and what stays behind. */
import { Alert, Card, CardBody, CardTitle } from "@patternfly/react-core"
import { type ReactNode, useMemo } from "react"
import { useTranslation } from "react-i18next"
import type { Schemas } from "../../api/client"
import { useCells } from "../../api/fleet"
import { bytes, count, span } from "../../look/format"
import { ResourceLink } from "../../parts/links"
import { SharesChart } from "./chart"
import type { Plan } from "./plan"
import { pictureOf } from "./shares"
import { WhyNot } from "./why-not"

const MOVES_SHOWN = 500

export function PlanView({ plan, actions }: { plan: Plan; actions: ReactNode }) {
  const { t } = useTranslation()
  const { answer } = plan
  const moves = answer.moves ?? []
  return (
    <Card>
      <CardTitle component="h2">
        <span className="row">
          {t("rebalance.what_it_does")}
          <span className="rebalance-apply">{actions}</span>
        </span>
      </CardTitle>
      <CardBody>
        <div className="page-part">
          <Figures answer={answer} />
          {moves.length === 0 ? (
            <Alert isInline variant="success" title={t("rebalance.nothing")} />
          ) : (
            <>
              <Pictures plan={plan} />
              <Moves moves={moves} />
            </>
          )}
          {(answer.emptied ?? []).length > 0 && (
            <p className="row">
              {t("rebalance.emptied")}
              {answer.emptied?.map(node => (
                <ResourceLink key={node.id} of={node} />
              ))}
            </p>
          )}
          <WhyNot vms={answer.behind ?? []} />
          <p className="quiet">{t("rebalance.stay_help")}</p>
        </div>
      </CardBody>
    </Card>
  )
}

function Figures({ answer }: { answer: Schemas["PlanAnswer"] }) {
  const { t } = useTranslation()
  const figures: [string, string][] = [
    [t("rebalance.score"), `${answer.score_before.toFixed(3)} → ${answer.score_after.toFixed(3)}`],
    [t("rebalance.moves"), count(answer.moves?.length ?? 0)],
    [t("rebalance.takes"), span(answer.forecast_s)],
    [t("rebalance.sends"), bytes(answer.forecast_bytes)],
  ]
  return (
    <dl className="rebalance-figures">
      {figures.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

function Pictures({ plan }: { plan: Plan }) {
  const { t } = useTranslation()
  const columns = useCells().data
  const picture = useMemo(
    () => columns && pictureOf(columns, plan.answer.moves ?? [], plan.claims, plan.capacity),
    [columns, plan],
  )
  if (!picture) return null
  return (
    <div className="wide-cards">
      {(["cpu", "memory"] as const).map(figure => (
        <section key={figure}>
          <h3>{t(`rebalance.chart_${figure}`)}</h3>
          <SharesChart picture={picture} figure={figure} />
        </section>
      ))}
    </div>
  )
}

function Moves({ moves }: { moves: Schemas["PlannedMigration"][] }) {
  const { t } = useTranslation()
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so has to be reached by keyboard
    <section className="simple-scroll" tabIndex={0} aria-label={t("rebalance.moves")}>
      <table className="simple-table">
        <thead>
          <tr>
            <th scope="col" className="end">
              {t("rebalance.wave")}
            </th>
            <th scope="col">VM</th>
            <th scope="col">{t("rebalance.from")}</th>
            <th scope="col">{t("rebalance.to")}</th>
            <th scope="col" className="end">
              {t("rebalance.sends")}
            </th>
            <th scope="col" className="end">
              {t("rebalance.takes")}
            </th>
            <th scope="col" className="end">
              {t("rebalance.pause")}
            </th>
            <th scope="col" className="end">
              {t("rebalance.score_then")}
            </th>
          </tr>
        </thead>
        <tbody>
          {moves.slice(0, MOVES_SHOWN).map(move => (
            <tr key={`${move.wave} ${move.vm.id} ${move.target.id}`}>
              <td className="end">{move.wave}</td>
              <td>
                <ResourceLink of={move.vm} />
              </td>
              <td>
                <ResourceLink of={move.source} />
              </td>
              <td>
                <ResourceLink of={move.target} /> {move.stepping_stone && t("rebalance.for_now")}
              </td>
              <td className="end">{bytes(move.forecast_bytes)}</td>
              <td className="end">{span(move.forecast_s)}</td>
              <td className="end">{span(move.forecast_downtime_ms / 1000)}</td>
              <td className="end">{move.score.toFixed(3)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {moves.length > MOVES_SHOWN && (
        <p>{t("rebalance.more_moves", { count: moves.length - MOVES_SHOWN })}</p>
      )}
    </section>
  )
}
