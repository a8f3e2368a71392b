/** Meter: how much of a capacity is claimed, and how much is really used. */
import "./meter.css"
import { percent } from "../look/format"

type Props = {
  label: string
  claimed: number | null
  used?: number | null
  text?: string
  /** in a row of a table: the label is for those who hear it */
  compact?: boolean
}

/** Shares, 0 to 1; more than 1 is overcommitted and drawn full. */
export function Meter({ label, claimed, used, text, compact = false }: Props) {
  const width = (share: number | null | undefined) => `${Math.min(100, Math.max(0, (share ?? 0) * 100))}%`
  return (
    <div className={compact ? "meter compact" : "meter"}>
      <div className="meter-words">
        {!compact && <span>{label}</span>}
        <span>{text ?? percent(claimed)}</span>
      </div>
      <div
        className="meter-bar"
        role="meter"
        aria-label={label}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round((claimed ?? 0) * 100)}
      >
        <span
          className={`meter-claimed${(claimed ?? 0) > 0.95 ? " full" : ""}`}
          style={{ inlineSize: width(claimed) }}
        />
        {used !== null && used !== undefined && (
          <span className="meter-used" style={{ inlineSize: width(used) }} />
        )}
      </div>
    </div>
  )
}
