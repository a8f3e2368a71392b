/** Flight: operations that are on their way, with a way to stop them. */
import { Button, Progress, ProgressSize } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { useWindow } from "../../api/cache"
import type { Operation } from "../../api/kinds"
import { Ago } from "../../parts/ago"
import { ResourceLink } from "../../parts/links"
import { useMay } from "../../session/session"

const SHOWN = 8

export function Flight() {
  const { t } = useTranslation()
  const running = useWindow(
    "Operation",
    { sort: "-created_at", filter: "status.state=running" },
    0,
    SHOWN - 1,
  )
  const rows = Array.from({ length: Math.min(SHOWN, running.total) }, (_, n) => running.row(n)).filter(
    op => op?.status?.state === "running",
  )
  if (rows.length === 0)
    return (
      <p className="overview-quiet">{running.loading ? t("state.loading") : t("overview.flight.none")}</p>
    )
  return (
    <ul className="overview-list">
      {rows.map(op => op && <InFlight key={op.id} of={op} />)}
      {running.total > rows.length && (
        <li className="overview-quiet">
          {t("overview.flight.more", { count: running.total - rows.length })}
        </li>
      )}
    </ul>
  )
}

function InFlight({ of: op }: { of: Operation }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const may = useMay("operator")
  const { verb, target, by, cancel } = op.spec
  const said = t(`overview.verb.${verb}` as "overview.verb.create", { defaultValue: verb })
  const stop = () =>
    ask({
      verb: t("overview.flight.cancel"),
      name: `${said} ${target.name}`,
      method: "POST",
      path: `/api/v1/operations/${op.id}/cancel`,
    })
  return (
    <li className="overview-item overview-flight">
      <div className="overview-grow">
        <div className="row">
          <ResourceLink of={{ kind: "Operation", id: op.id, name: said }} />
          <ResourceLink of={target} />
          <span className="overview-quiet">
            {by} · <Ago at={op.created_at} />
          </span>
        </div>
        <Progress
          value={Math.round((op.status?.progress ?? 0) * 100)}
          size={ProgressSize.sm}
          aria-label={`${said} ${target.name}`}
        />
        {op.status?.waiting_for && <div className="overview-quiet">{op.status.waiting_for}</div>}
      </div>
      {may && (
        <Button
          variant="secondary"
          size="sm"
          isDisabled={cancel}
          aria-label={t("overview.flight.cancel_of", { what: `${said} ${target.name}` })}
          onClick={stop}
        >
          {t("action.cancel")}
        </Button>
      )}
    </li>
  )
}
