/**
 * Colours: of the heat map's cells, for what people who see colours differently can tell apart too. Pure.
 *
 * Always true    light to dark is little to much on a light page, dark to light on a dark one; from 90 % on the hue
 *                changes as well; what is not known has a colour of its own
 */
import type { Cell } from "../../api/fleet"
import type { Theme } from "../../look/theme"

export const MEASURES = ["cpu_claimed", "memory_claimed", "cpu_used", "memory_used", "phase"] as const
export type Measure = (typeof MEASURES)[number]

const RAMP: Record<Theme, string[]> = {
  light: ["#e6f1fa", "#cfe4f6", "#b3d3f0", "#92c0e9", "#6eaae1", "#4a93d6", "#2b7bc4", "#1563ab", "#0b4b8a"],
  dark: ["#1d2b3a", "#1f3a55", "#224a70", "#265c8c", "#2d70a8", "#3b86c3", "#569edb", "#7db9ee", "#a9d4fb"],
}
const HOT: Record<Theme, string> = { light: "#d97706", dark: "#f0a63c" } // 90 % and more
const OVER: Record<Theme, string> = { light: "#b1200f", dark: "#ff7a66" } // more than there is
const UNKNOWN: Record<Theme, string> = { light: "#d0d0d0", dark: "#4d4d4d" }

export const PHASES: Record<Theme, Record<string, string>> = {
  light: { ready: "#3d7317", cordoned: "#b98412", lost: "#b1200f", joining: "#4394e5" },
  dark: { ready: "#87bb62", cordoned: "#f0c14b", lost: "#ff7a66", joining: "#92c5f9" },
}

export function shareColour(share: number | null, theme: Theme): string {
  if (share === null) return UNKNOWN[theme]
  if (share > 1.005) return OVER[theme]
  if (share >= 0.9) return HOT[theme]
  const ramp = RAMP[theme]
  return ramp[Math.max(0, Math.min(ramp.length - 1, Math.floor(share * 10)))] ?? UNKNOWN[theme]
}

export function cellColour(
  cell: Pick<Cell, Exclude<Measure, "phase"> | "phase">,
  measure: Measure,
  theme: Theme,
): string {
  if (measure === "phase") return PHASES[theme][cell.phase] ?? UNKNOWN[theme]
  return shareColour(cell[measure], theme)
}

/** What stands in the legend: shares, each at the beginning of its step. */
export const LEGEND: (number | null)[] = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01, null]
