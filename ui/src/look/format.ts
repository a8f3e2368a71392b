/**
 * Format: figures as people read them.
 *
 * Always true    times are told by the server's clock: the browser's may be off (setServerTime)
 */
import i18next from "i18next"

const STEPS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
let offsetS = 0 // server minus browser

/** Told by each answer that carries the server's time. Unix seconds. */
export function setServerTime(atS: number): void {
  const found = atS - Date.now() / 1000
  if (Math.abs(found - offsetS) > 2) offsetS = found // a header tells whole seconds: less is noise
}

export function serverNowS(): number {
  return Date.now() / 1000 + offsetS
}

/** 1536 MiB as "1.5 GiB". */
export function bytes(count: number | null | undefined): string {
  if (count === null || count === undefined || !Number.isFinite(count)) return "–"
  let value = Math.abs(count)
  let step = 0
  while (value >= 1024 && step < STEPS.length - 1) {
    value /= 1024
    step += 1
  }
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2
  return `${count < 0 ? "-" : ""}${Number(value.toFixed(digits))} ${STEPS[step]}`
}

export function percent(share: number | null | undefined, digits = 0): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–"
  return `${(share * 100).toFixed(digits)} %`
}

export function count(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–"
  return value.toLocaleString(i18next.language === "zh" ? "zh-CN" : "en")
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
]

/** How long ago (or from now), by the server's clock: "3 minutes ago". */
export function ago(atS: number | null | undefined, nowS = serverNowS()): string {
  if (!atS) return "–"
  const passed = atS - nowS
  const words = new Intl.RelativeTimeFormat(i18next.language === "zh" ? "zh-CN" : "en", { numeric: "auto" })
  for (const [unit, size] of UNITS) {
    if (Math.abs(passed) >= size || unit === "second") return words.format(Math.trunc(passed / size), unit)
  }
  return ""
}

export function moment(atS: number | null | undefined): string {
  if (!atS) return "–"
  return new Date(atS * 1000).toLocaleString(i18next.language === "zh" ? "zh-CN" : "en")
}

/** 75 as "1 min 15 s". */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–"
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`
  const whole = Math.round(seconds)
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor((whole % 3600) / 60)
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`
}
