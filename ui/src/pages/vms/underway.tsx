/** Underway: what is being done to a VM right now, step by step, as on the page of a VM that was just asked for. */
import { Alert, Progress } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { Link } from "wouter"
import { useWindow } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { Going } from "../operations/going"
import { verbText } from "../operations/verbs"

const AT_ONCE = 3

export function Underway({ vm }: { vm: string }) {
  const found = useWindow(
    "Operation",
    { sort: "-created_at", filter: `spec.target.id=${vm},status.state=running` },
    0,
    AT_ONCE - 1,
  )
  return Array.from({ length: Math.min(found.total, AT_ONCE) }, (_, n) => found.row(n))
    .filter(of => of?.status?.state === "running")
    .map(of => of && <One key={of.id} of={of} />)
}

function One({ of }: { of: Schemas["Operation"] }) {
  const { t } = useTranslation()
  const verb = verbText(t, of.spec.verb)
  const progress = of.status?.progress
  return (
    <Alert
      isInline
      variant="info"
      title={t("vms.overview.underway", { verb })}
      actionLinks={<Link href={`~/operations/${of.id}`}>{t("ask.show")}</Link>}
    >
      <Going of={of} />
      {progress ? <Progress aria-label={verb} value={Math.round(progress * 100)} size="sm" /> : null}
    </Alert>
  )
}
