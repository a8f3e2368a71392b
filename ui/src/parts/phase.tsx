/** Phase: a phase or state as a coloured label with its word; the colour never says more than the word. */
import { Label, type LabelProps } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { phaseText } from "../text"

const STATUS: Record<string, NonNullable<LabelProps["status"]>> = {
  running: "success",
  ready: "success",
  succeeded: "success",
  done: "success",
  failed: "danger",
  crashed: "danger",
  lost: "danger",
  fenced: "danger",
  cordoned: "warning",
  cancelled: "warning",
  pending: "warning",
  trashed: "warning",
}
const COLOR: Record<string, NonNullable<LabelProps["color"]>> = {
  stopped: "grey",
  paused: "yellow",
  suspended: "purple",
}

export function Phase({ phase }: { phase: string | undefined }) {
  const { t } = useTranslation()
  if (!phase) return <span>–</span>
  const status = STATUS[phase]
  return (
    <Label isCompact variant="outline" {...(status ? { status } : { color: COLOR[phase] ?? "blue" })}>
      {phaseText(t, phase)}
    </Label>
  )
}
