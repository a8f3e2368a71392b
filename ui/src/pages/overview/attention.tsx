/** Attention: what to look at, the worst first, and the next step to take. groups.ts puts together what is the same. */
import { Button, ClipboardCopy, Label, type LabelProps } from "@patternfly/react-core"
import { CheckCircleIcon } from "@patternfly/react-icons"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import type { Attention } from "../../api/fleet"
import { pageOf, ResourceLink } from "../../parts/links"
import { Prose } from "../../parts/prose"
import { type Group, groupsOf } from "./groups"

const SHOWN_FIRST = 5
const STATUS: Record<string, LabelProps["status"]> = { critical: "danger", warning: "warning", info: "info" }
const NAMED = 3 // of those that have the same trouble

export function AttentionList({ attention, total }: { attention: Attention[]; total: number }) {
  const { t } = useTranslation()
  const [all, setAll] = useState(false)
  if (attention.length === 0)
    return (
      <p className="overview-fine">
        <CheckCircleIcon aria-hidden /> {t("overview.all_well")}
      </p>
    )
  const groups = groupsOf(attention)
  const shown = groups.slice(0, all ? groups.length : SHOWN_FIRST)
  return (
    <>
      <ul className="overview-list">
        {shown.map(group => (
          <OneAttention key={group.key} of={group} />
        ))}
      </ul>
      {groups.length > SHOWN_FIRST && (
        <Button variant="link" isInline onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? t("overview.fewer") : t("overview.more", { count: groups.length - SHOWN_FIRST })}
        </Button>
      )}
      {total > attention.length && (
        <p className="overview-quiet">{t("overview.not_listed", { count: total - attention.length })}</p>
      )}
    </>
  )
}

function OneAttention({ of: { all } }: { of: Group }) {
  const { t } = useTranslation()
  const [first] = all
  if (!first) return null
  const { severity, message, next_step, command } = first
  const status = STATUS[severity]
  return (
    <li className="overview-item">
      <div className="row">
        <Label isCompact {...(status ? { status } : {})}>
          {t(`overview.severity.${severity}` as "overview.severity.info", { defaultValue: severity })}
        </Label>
        {all
          .slice(0, NAMED)
          .map(({ kind, id, name }) =>
            id && pageOf({ kind, id }) ? <ResourceLink key={id} of={{ kind, id, name: name || id }} /> : null,
          )}
        {all.length > NAMED && <span>{t("overview.and_more", { count: all.length - NAMED })}</span>}
      </div>
      <div className="overview-message" dir="auto">
        {message}
      </div>
      {next_step && (
        <div className="overview-quiet">
          <Prose text={next_step} />
        </div>
      )}
      {command && (
        <ClipboardCopy
          isReadOnly
          isCode
          variant="inline-compact"
          hoverTip={t("action.copy")}
          clickTip={t("action.copied")}
          copyAriaLabel={`${t("action.copy")}: ${command}`}
        >
          {command}
        </ClipboardCopy>
      )}
    </li>
  )
}
