/** Recent changes: the newest events of everything, or of one resource. */
import { Label, type LabelProps } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useWindow } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { Ago } from "../../parts/ago"
import { ResourceLink } from "../../parts/links"

const STATUS: Record<string, LabelProps["status"]> = { error: "danger", warning: "warning" }

/** `about`: id of a resource; without it of all. */
export function Recent({ about = "", most = 10 }: { about?: string; most?: number }) {
  const { t } = useTranslation()
  const filter = about ? `spec.about.id=${about}` : ""
  const events = useWindow("Event", { sort: "-created_at", filter }, 0, most - 1)
  const rows = Array.from({ length: Math.min(most, events.total) }, (_, n) => events.row(n))
  if (events.total === 0)
    return <p className="overview-quiet">{events.loading ? t("state.loading") : t("overview.no_events")}</p>
  return (
    <ul className="overview-list">
      {rows.map(
        event =>
          event && (
            <li key={event.id} className="overview-event">
              <span className="overview-when">
                <Ago at={event.created_at} />
              </span>
              <span className="overview-grow" dir="auto">
                {STATUS[event.spec.level] && (
                  <Label isCompact status={STATUS[event.spec.level]}>
                    {t(`overview.level.${event.spec.level}` as "overview.level.error", {
                      defaultValue: event.spec.level,
                    })}
                  </Label>
                )}{" "}
                {about ? event.spec.message : <Told of={event.spec} />}
              </span>
              {event.spec.by && <bdi className="overview-quiet">{event.spec.by}</bdi>}
            </li>
          ),
      )}
    </ul>
  )
}

/** What happened, with a link where it names what it happened to. */
function Told({ of: { about, message } }: { of: Schemas["EventSpec"] }) {
  const at = about.name ? message.indexOf(about.name) : -1
  if (at < 0)
    return (
      <>
        <ResourceLink of={about} />: {message}
      </>
    )
  return (
    <>
      {message.slice(0, at)}
      <ResourceLink of={about} />
      {message.slice(at + about.name.length)}
    </>
  )
}
