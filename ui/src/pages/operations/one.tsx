/** One operation: its steps as they happen, what it waits for, why it failed, what it touched, and how to stop it. */
import {
  Alert,
  Card,
  CardBody,
  CardTitle,
  Progress,
  ProgressStep,
  ProgressStepper,
} from "@patternfly/react-core"
import { useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { useWindow } from "../../api/cache"
import type { Operation } from "../../api/kinds"
import { moment, serverNowS, span } from "../../look/format"
import { Confirm } from "../../parts/confirm"
import { Described } from "../../parts/described"
import { ResourceLink } from "../../parts/links"
import { Phase } from "../../parts/phase"
import { Doing } from "../../parts/resource-asks"
import { ResourcePage } from "../../parts/resource-page"
import { Trouble } from "../../parts/trouble"
import { EventLine } from "../events/line"
import { drawnSteps, type StepState, tookS } from "./steps"
import { verbText } from "./verbs"
import "./operations.css"

const VARIANT: Record<StepState, "success" | "info" | "danger" | "warning"> = {
  done: "success",
  going: "info",
  failed: "danger",
  cancelled: "warning",
}

export function OneOperation() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="Operation"
      above={[t("operations.title"), "/"]}
      title={of => `${verbText(t, of.spec.verb)} ${of.spec.target.name || of.spec.target.id}`}
      aside={of => <Phase phase={of.status?.state} />}
      actions={of =>
        of.status?.state === "running" && !of.spec.cancel ? (
          <Doing
            deeds={[
              {
                key: "cancel",
                title: t("operations.cancel"),
                first: true,
                danger: true,
                dialog: close => <CancelDialog of={of} close={close} />,
              },
            ]}
          />
        ) : undefined
      }
      parts={of => [{ key: "", title: t("resource.about"), body: () => <Body of={of} /> }]}
    />
  )
}

export function CancelDialog({ of, close }: { of: Operation; close: () => void }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const name = `${verbText(t, of.spec.verb)} ${of.spec.target.name}`
  return (
    <Confirm
      title={t("operations.cancel_title", { name })}
      verb={t("operations.cancel")}
      onConfirm={() =>
        ask({
          verb: t("operations.cancel"),
          name,
          method: "POST",
          path: `/api/v1/operations/${of.id}/cancel`,
        })
      }
      onClose={close}
    >
      {t("operations.cancel_body")}
    </Confirm>
  )
}

function Body({ of }: { of: Operation }) {
  const { t } = useTranslation()
  const nowS = useNowS(of.status?.state === "running")
  const status = of.status
  const running = status?.state === "running"
  return (
    <>
      {of.spec.cancel && running && <Alert isInline variant="warning" title={t("operations.cancelling")} />}
      <Trouble of={status?.error} />
      {(of.spec.warnings ?? []).map(text => (
        <Alert key={text} isInline variant="warning" title={text} />
      ))}
      {running && (
        <Progress
          title={
            status.waiting_for ? t("operations.waits", { what: status.waiting_for }) : t("phase.running")
          }
          value={Math.round((status.progress ?? 0) * 100)}
          aria-label={t("operations.progress")}
        />
      )}
      <div className="wide-cards">
        <Card>
          <CardTitle component="h2">{t("resource.about")}</CardTitle>
          <CardBody>
            <Described
              pairs={[
                [t("operations.target"), <ResourceLink key="target" of={of.spec.target} />],
                [t("col.kind"), of.spec.target.kind],
                [t("operations.by"), <bdi key="by">{of.spec.by || "–"}</bdi>],
                [t("operations.began"), moment(of.created_at)],
                [t("operations.ended"), status?.ended_at ? moment(status.ended_at) : undefined],
                [t("operations.took"), span(tookS(of, nowS))],
                [t("operations.deadline"), running ? span(of.spec.deadline_s) : undefined],
                ...Object.entries(status?.result ?? {}).map(([key, value]): [string, string] => [
                  key,
                  String(value),
                ]),
                [t("operations.request"), of.spec.request_id || undefined],
                [t("resource.id"), <code key="id">{of.id}</code>],
              ]}
            />
          </CardBody>
        </Card>
        <Card>
          <CardTitle component="h2">{t("operations.steps")}</CardTitle>
          <CardBody>
            {drawnSteps(of, nowS).length === 0 ? (
              t("operations.no_steps")
            ) : (
              <ProgressStepper isVertical aria-label={t("operations.steps")}>
                {drawnSteps(of, nowS).map(step => (
                  <ProgressStep
                    key={`${step.name} ${step.startedAt}`}
                    id={`step-${step.startedAt}-${step.name}`}
                    titleId={`step-${step.startedAt}-${step.name}-title`}
                    variant={VARIANT[step.state]}
                    isCurrent={step.state === "going"}
                    description={`${moment(step.startedAt)} · ${span(step.tookS)}`}
                    aria-label={`${step.name}: ${t(`operations.step.${step.state}`)}`}
                  >
                    {step.name}
                  </ProgressStep>
                ))}
              </ProgressStepper>
            )}
          </CardBody>
        </Card>
      </div>
      <About of={of} />
    </>
  )
}

/** What has happened to its target since it began. */
function About({ of }: { of: Operation }) {
  const { t } = useTranslation()
  const until = of.status?.ended_at ? `,created_at<=${of.status.ended_at + 5}` : ""
  const filter = `spec.about.id=${of.spec.target.id},created_at>=${of.created_at - 1}${until}`
  const events = useWindow("Event", { sort: "-created_at", filter }, 0, 20)
  const shown = Array.from({ length: Math.min(20, events.total) }, (_, n) => events.row(n))
  if (events.total === 0) return null
  return (
    <Card>
      <CardTitle component="h2">{t("operations.happened")}</CardTitle>
      <CardBody>
        <ul className="event-lines">
          {shown.map(event => event && <EventLine key={event.id} of={event} />)}
        </ul>
      </CardBody>
    </Card>
  )
}

/** Ticks while something runs: durations are told, not asked for. */
function useNowS(ticking: boolean): number {
  const [nowS, setNowS] = useState(serverNowS)
  useEffect(() => {
    if (!ticking) return
    const timer = setInterval(() => setNowS(serverNowS()), 1_000)
    return () => clearInterval(timer)
  }, [ticking])
  return ticking ? nowS : serverNowS()
}
