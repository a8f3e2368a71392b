/** Going: what an operation does or waits for right now, or why it failed, in a few words. */
import type { Schemas } from "../../api/client"
import { percent } from "../../look/format"

export function Going({ of }: { of: Pick<Schemas["Operation"], "status"> }) {
  const status = of.status
  if (status?.error) return <span title={status.error.message}>{status.error.message}</span>
  if (status?.state !== "running") return <>–</>
  const step = status.steps?.findLast(s => !s.ended_at)?.name
  const words = status.waiting_for || step
  const share = status.progress ? percent(status.progress) : ""
  return <span title={words}>{[share, words].filter(Boolean).join(" · ") || "…"}</span>
}
