/** The page of rebalances: a plan to look at before anything moves, the history, and the automatic mode. */
import { Alert, Button, Card, CardBody, CardTitle, Form } from "@patternfly/react-core"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useAsk } from "../../api/asks"
import { useOne } from "../../api/cache"
import { Problem, type Schemas } from "../../api/client"
import { span } from "../../look/format"
import { Equivalent } from "../../parts/code"
import { command } from "../../parts/command"
import { Confirm } from "../../parts/confirm"
import { Described } from "../../parts/described"
import { bodyOf, type Field } from "../../parts/fields"
import { Fields, useValues } from "../../parts/form"
import { Page } from "../../parts/page"
import { Doing } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { Trouble } from "../../parts/trouble"
import { useMay } from "../../session/session"
import { PolicyDialog } from "../policies/dialog"
import { rebalancingPairs } from "../policies/fields"
import { History } from "./history"
import { type Plan, planOf } from "./plan"
import { PlanView } from "./plan-view"
import "./rebalance.css"

export function RebalancePage() {
  const { t } = useTranslation()
  const [plan, setPlan] = useState<Plan | null>(null)
  return (
    <Page title={t("rebalance.title")}>
      <div className="page-part">
        <div className="rebalance-top">
          <AskPlan onPlan={setPlan} />
          <Automatic />
        </div>
        {plan && <PlanView plan={plan} actions={<Apply plan={plan} onDone={() => setPlan(null)} />} />}
        <Card>
          <CardTitle component="h2">{t("rebalance.history")}</CardTitle>
          <CardBody>
            <History />
          </CardBody>
        </Card>
      </div>
    </Page>
  )
}

const GOALS = ["balance", "consolidate", "repair"] as const

function AskPlan({ onPlan }: { onPlan: (plan: Plan | null) => void }) {
  const { t } = useTranslation()
  const fields = useMemo<Field[]>(
    () => [
      {
        name: "goal",
        label: t("rebalance.goal"),
        kind: "choice",
        initial: "balance",
        choices: GOALS.map(value => ({ value, label: t(`rebalance.goals.${value}`) })),
      },
      { name: "moves_max", label: t("rebalance.moves_max"), kind: "number", initial: "20" },
      { name: "bytes_max", label: t("rebalance.bytes_max"), kind: "size", help: t("rebalance.bytes_help") },
      { name: "parallel", label: t("rebalance.parallel"), kind: "number", initial: "2" },
    ],
    [t],
  )
  const { values, change } = useValues(fields)
  const [problem, setProblem] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const ask = bodyOf(fields, values) as Schemas["AskRebalance"]

  const look = async () => {
    setBusy(true)
    setProblem(null)
    try {
      onPlan(await planOf(ask))
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setProblem(error)
      onPlan(null)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Card>
      <CardTitle component="h2">{t("rebalance.plan")}</CardTitle>
      <CardBody>
        <Form
          onSubmit={event => {
            event.preventDefault()
            void look()
          }}
        >
          <p>{t("rebalance.plan_help")}</p>
          <div className="rebalance-fields">
            <Fields fields={fields} values={values} problem={problem} onChange={change} />
          </div>
          <Trouble of={problem} />
          <div className="row">
            <Button type="submit" isLoading={busy} isDisabled={busy}>
              {t("rebalance.look")}
            </Button>
            <Equivalent
              command={command(["corral", "rebalance", "plan"], optionsOf(ask))}
              call={{ method: "POST", path: "/api/v1/rebalance/plan", body: ask }}
            />
          </div>
        </Form>
      </CardBody>
    </Card>
  )
}

function optionsOf(ask: Schemas["AskRebalance"]) {
  return { goal: ask.goal, moves: ask.moves_max, send: ask.bytes_max || "", parallel: ask.parallel }
}

function Apply({ plan, onDone }: { plan: Plan; onDone: () => void }) {
  const { t } = useTranslation()
  const may = useMay("operator")
  const ask = useAsk()
  const [, go] = useLocation()
  const [sure, setSure] = useState(false)
  const moves = plan.answer.moves?.length ?? 0
  if (!may || moves === 0) return null
  const apply = async () => {
    const operation = await ask({
      verb: t("rebalance.apply"),
      name: t(`rebalance.goals_short.${plan.ask.goal === "drain" ? "balance" : plan.ask.goal}`),
      method: "POST",
      path: "/api/v1/rebalance",
      body: plan.ask,
    })
    if (!operation) return
    onDone()
    go(`/${operation.spec.target.id}`)
  }
  return (
    <>
      <Button onClick={() => setSure(true)}>{t("rebalance.apply")}</Button>
      {sure && (
        <Confirm
          title={t("rebalance.apply_title", { count: moves })}
          verb={t("rebalance.apply")}
          danger={false}
          onConfirm={apply}
          onClose={() => setSure(false)}
        >
          <p>{t("rebalance.apply_help", { time: span(plan.answer.forecast_s) })}</p>
          <Equivalent
            command={command(["corral", "rebalance", "apply"], optionsOf(plan.ask))}
            call={{ method: "POST", path: "/api/v1/rebalance", body: plan.ask }}
          />
        </Confirm>
      )}
    </>
  )
}

/** Of the policy called default: without one, nothing happens by itself. */
function Automatic() {
  const { t } = useTranslation()
  const policy = useOne("SchedulingPolicy", "default").data as RowOf<"SchedulingPolicy"> | undefined
  const automatic = policy?.spec.rebalance?.automatic
  return (
    <Card>
      <CardTitle component="h2">{t("rebalance.automatic")}</CardTitle>
      <CardBody>
        <div className="page-part">
          <Alert
            isInline
            isPlain
            variant={automatic ? "success" : "info"}
            title={automatic ? t("rebalance.is_on") : t("rebalance.is_off")}
          />
          <Described pairs={rebalancingPairs(t, policy?.spec.rebalance)} />
          <div className="row">
            <Doing
              deeds={[
                {
                  key: "set",
                  title: t("rebalance.set_automatic"),
                  first: true,
                  second: true,
                  dialog: close => <PolicyDialog of={policy} name="default" rebalancing close={close} />,
                },
              ]}
            />
          </div>
        </div>
      </CardBody>
    </Card>
  )
}
