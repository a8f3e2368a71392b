/** An event in a line: how grave it is, when, and what. */
import { Label } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import type { Schemas } from "../../api/client"
import { ago, moment } from "../../look/format"

const STATUS: Record<string, "danger" | "warning" | "info"> = {
  error: "danger",
  warning: "warning",
  info: "info",
}

export function Level({ level }: { level: string | undefined }) {
  const { t } = useTranslation()
  const word = t(`events.level.${level ?? "info"}` as "events.level.info", { defaultValue: level ?? "" })
  return (
    <Label isCompact variant="outline" status={STATUS[level ?? "info"] ?? "info"}>
      {word}
    </Label>
  )
}

export function EventLine({ of }: { of: Schemas["Event"] }) {
  return (
    <li className="event-line">
      <span>
        <Level level={of.spec.level} />
      </span>
      <span title={moment(of.created_at)}>{ago(of.created_at)}</span>
      <span>
        <bdi>{of.spec.message}</bdi>
      </span>
    </li>
  )
}
