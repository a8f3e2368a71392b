/** Phase: a phase or state as a coloured pill with its word; the colour never says more than the word. */
import { useTranslation } from "react-i18next"
import { phaseText } from "../text"
import "./phase.css"

type Tone = "good" | "bad" | "warn" | "off" | "busy"

const TONE: Record<string, Tone> = {
  running: "good",
  ready: "good",
  succeeded: "good",
  done: "good",
  failed: "bad",
  crashed: "bad",
  lost: "bad",
  fenced: "bad",
  cordoned: "warn",
  cancelled: "warn",
  pending: "warn",
  trashed: "warn",
  paused: "warn",
  stopped: "off",
  suspended: "off",
}

/** Drawn a hundred times a frame while a list scrolls past: a plain element, no component of a library. */
export function Phase({ phase }: { phase: string | undefined }) {
  const { t } = useTranslation()
  if (!phase) return <span>–</span>
  return <span className={`phase phase-${TONE[phase] ?? "busy"}`}>{phaseText(t, phase)}</span>
}
