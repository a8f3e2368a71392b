/** One rebalance: its moves as they are made, the score it reached, and how to stop it. */
import { Card, CardBody, CardTitle, Progress } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useWindow } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { bytes, moment, span } from "../../look/format"
import { condition } from "../../parts/conditions"
import { Described } from "../../parts/described"
import { NamedLink } from "../../parts/named-link"
import { Phase } from "../../parts/phase"
import { Doing } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import { Trouble } from "../../parts/trouble"
import { CancelDialog } from "../operations/one"
import { movesDone } from "./history"
import { WhyNot } from "./why-not"
import "./rebalance.css"

type Rebalance = RowOf<"Rebalance">

export function OneRebalance() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="Rebalance"
      above={[t("rebalance.title"), "/"]}
      title={of => `${t(`rebalance.goals_short.${of.spec?.goal ?? "balance"}`)} · ${moment(of.created_at)}`}
      aside={of => <Phase phase={of.status?.phase ?? "planning"} />}
      actions={of => <Stop of={of} />}
      parts={of => [{ key: "", title: t("resource.about"), body: () => <Body of={of} /> }]}
    />
  )
}

/** Stopped by its operation, as everything is. */
function Stop({ of }: { of: Rebalance }) {
  const { t } = useTranslation()
  const filter = `${condition("spec.target.id", "=", of.id)},status.state=running`
  const operation = useWindow("Operation", { filter, sort: "-created_at" }, 0, 0).row(0)
  if (!operation || operation.spec.cancel) return null
  return (
    <Doing
      deeds={[
        {
          key: "cancel",
          title: t("operations.cancel"),
          first: true,
          danger: true,
          dialog: close => <CancelDialog of={operation} close={close} />,
        },
      ]}
    />
  )
}

function Body({ of }: { of: Rebalance }) {
  const { t } = useTranslation()
  const status = of.status
  const moves = status?.moves ?? []
  const done = moves.filter(move => move.state === "done").length
  const goes = status?.phase === "moving" || status?.phase === "planning" || !status?.phase
  return (
    <>
      <Trouble of={status?.trouble} />
      {goes && (
        <Progress
          title={`${t("rebalance.moves")}: ${movesDone(of)}`}
          value={moves.length > 0 ? Math.round((done / moves.length) * 100) : 0}
        />
      )}
      <Card>
        <CardBody>
          <Described
            pairs={[
              [t("rebalance.goal"), t(`rebalance.goals_short.${of.spec?.goal ?? "balance"}`)],
              [t("rebalance.automatic"), of.spec?.automatic ? t("resource.yes") : t("resource.no")],
              [
                t("rebalance.score"),
                `${(status?.before ?? 0).toFixed(3)} → ${(status?.after ?? 0).toFixed(3)}`,
              ],
              [t("rebalance.moves"), movesDone(of)],
              [t("rebalance.plans"), status?.plans ?? 0],
              [t("rebalance.parallel"), of.spec?.parallel ?? 2],
              [t("operations.began"), moment(of.created_at)],
              [t("resource.id"), <code key="id">{of.id}</code>],
            ]}
          />
        </CardBody>
      </Card>
      <WhyNot vms={(status?.behind ?? []).map(id => ({ kind: "VM", id }))} />
      {moves.length > 0 && (
        <Card>
          <CardTitle component="h2">{t("rebalance.moves")}</CardTitle>
          <CardBody>
            <Moves moves={moves} />
          </CardBody>
        </Card>
      )}
    </>
  )
}

function Moves({ moves }: { moves: Schemas["Move"][] }) {
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
            <th scope="col">{t("col.status")}</th>
            <th scope="col">VM</th>
            <th scope="col">{t("rebalance.from")}</th>
            <th scope="col">{t("rebalance.to")}</th>
            <th scope="col" className="end">
              {t("rebalance.sends")}
            </th>
            <th scope="col" className="end">
              {t("rebalance.takes")}
            </th>
          </tr>
        </thead>
        <tbody>
          {moves.slice(0, 500).map(move => (
            <tr key={`${move.plan} ${move.wave} ${move.vm} ${move.target}`}>
              <td className="end">{(move.wave ?? 0) + 1}</td>
              <td>
                <Phase phase={move.state ?? "waiting"} />
                {move.trouble && <p>{move.trouble.message}</p>}
              </td>
              <td>
                <NamedLink kind="VM" id={move.vm} />
              </td>
              <td>
                <NamedLink kind="Node" id={move.source} />
              </td>
              <td>
                <NamedLink kind="Node" id={move.target} /> {move.stepping_stone && t("rebalance.for_now")}
              </td>
              <td className="end">{bytes(move.forecast_bytes)}</td>
              <td className="end">{span(move.forecast_s)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  )
}
