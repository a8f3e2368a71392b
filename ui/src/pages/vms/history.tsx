/** History: what was asked of a resource and what happened to it, newest first. */
import { useTranslation } from "react-i18next"
import { useWindow } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { ago, moment, span } from "../../look/format"
import { ResourceLink } from "../../parts/links"
import { Phase } from "../../parts/phase"

type Of = { id: string; name: string }
const SHOWN = 99

export function History({ of }: { of: Of }) {
  const { t } = useTranslation()
  const operations = useWindow(
    "Operation",
    { sort: "-created_at", filter: `spec.target.id=${of.id}` },
    0,
    SHOWN,
  )
  const events = useWindow("Event", { sort: "-created_at", filter: `spec.about.id=${of.id}` }, 0, SHOWN)
  const both = [
    ...rowsOf(operations).map(o => ({ at: o.created_at ?? 0, operation: o, event: null })),
    ...rowsOf(events).map(e => ({ at: e.created_at ?? 0, operation: null, event: e })),
  ].sort((a, b) => b.at - a.at)
  if (both.length === 0) return <p className="quiet">{t("state.empty")}</p>
  return (
    <ol className="history">
      {both.map(({ at, operation, event }) => (
        <li key={(operation ?? event)?.id}>
          <time dateTime={new Date(at * 1000).toISOString()} title={moment(at)}>
            {ago(at)}
          </time>
          {operation ? <OperationLine operation={operation} /> : event && <EventLine event={event} />}
        </li>
      ))}
    </ol>
  )
}

function rowsOf<T>(list: { total: number; row: (n: number) => T | undefined }): T[] {
  return Array.from({ length: Math.min(list.total, SHOWN + 1) }, (_, n) => list.row(n)).filter(
    r => r !== undefined,
  )
}

function OperationLine({ operation }: { operation: Schemas["Operation"] }) {
  const { spec, status } = operation
  return (
    <span>
      <ResourceLink of={operation}>{spec.verb}</ResourceLink> <Phase phase={status?.state} />{" "}
      <span className="quiet">
        {spec.by}
        {status?.ended_at ? ` · ${span(status.ended_at - (operation.created_at ?? 0))}` : ""}
      </span>
      {status?.error && <div>{status.error.message}</div>}
    </span>
  )
}

function EventLine({ event }: { event: Schemas["Event"] }) {
  return (
    <span>
      <strong>{event.spec.reason}</strong> {event.spec.message} <span className="quiet">{event.spec.by}</span>
    </span>
  )
}
