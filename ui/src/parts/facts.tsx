/**
 * Facts: live figures of a node or VM as charts, from the server's ring and its stream.
 *
 * Always true    nothing is asked for again and again: rows arrive as the agent tells them
 */
import { useEffect, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { getJson } from "../api/client"
import { follow } from "../api/stream"
import { bytes, percent } from "../look/format"
import { Chart } from "./chart"

export type Series = { names: string[]; at: number[]; rows: Record<string, (number | null)[]> }
const POINTS_MAX = 600

/** The series with one more row; the oldest goes when there are too many. Pure. */
export function withRow(series: Series, at: number, figures: Record<string, number | null>): Series {
  const last = series.at.at(-1)
  if (last !== undefined && at <= last) return series
  const cut = series.at.length >= POINTS_MAX ? 1 : 0
  const names = [...new Set([...series.names, ...Object.keys(figures)])]
  const rows: Series["rows"] = {}
  for (const name of names) {
    const before = series.rows[name] ?? series.at.map(() => null)
    rows[name] = [...before.slice(cut), figures[name] ?? null]
  }
  return { names, at: [...series.at.slice(cut), at], rows }
}

const NOTHING: Series = { names: [], at: [], rows: {} }

/** `path`: of the facts, like /api/v1/nodes/NODE/facts */
export function useSeries(path: string): Series {
  const [series, setSeries] = useState<Series>(NOTHING)
  useEffect(() => {
    setSeries(NOTHING)
    let over = false
    void getJson<Series>(`${path}?series=true`)
      .then(found => !over && setSeries(found))
      .catch(() => undefined) // a node that tells nothing has no picture
    const stop = follow({
      path: () => `${path}?watch=true`,
      onEvent: event => {
        if (event.event !== "figures") return
        const { at, figures } = JSON.parse(event.data) as {
          at: number
          figures: Record<string, number | null>
        }
        setSeries(before => withRow(before, at, figures))
      },
      onProblem: () => false,
    })
    return () => {
      over = true
      stop()
    }
  }, [path])
  return series
}

export type Line = { name: string; title: string }
type Unit = "share" | "bytes" | "bytes_s" | "number"

const SAY: Record<Unit, (value: number) => string> = {
  share: value => percent(value, 0),
  bytes: value => bytes(value),
  bytes_s: value => `${bytes(value)}/s`,
  number: value => String(Number(value.toPrecision(3))),
}

export function FactsChart({
  series,
  lines,
  unit,
  title,
}: {
  series: Series
  lines: Line[]
  unit: Unit
  title: string
}) {
  const { t } = useTranslation()
  const option = useMemo(() => {
    const say = SAY[unit]
    return {
      grid: { left: 70, right: 16, top: 30, bottom: 26 },
      legend: { top: 0, right: 0, show: lines.length > 1, textStyle: { fontSize: 11 } },
      tooltip: { trigger: "axis", valueFormatter: (v: unknown) => (typeof v === "number" ? say(v) : "–") },
      xAxis: { type: "time", axisLabel: { hideOverlap: true } },
      yAxis: {
        type: "value",
        min: 0,
        ...(unit === "share" ? { max: (v: { max: number }) => Math.max(1, v.max) } : {}),
        axisLabel: { formatter: say },
      },
      series: lines.map(line => ({
        type: "line",
        name: line.title,
        showSymbol: series.at.length < 2,
        areaStyle: lines.length === 1 ? { opacity: 0.15 } : undefined,
        lineStyle: { width: 1.5 },
        data: series.at.map((at, n) => [at * 1000, series.rows[line.name]?.[n] ?? null]),
      })),
    }
  }, [series, lines, unit])
  const latest = lines
    .map(line => {
      const value = series.rows[line.name]?.findLast(v => v !== null)
      return `${line.title} ${value === undefined || value === null ? t("state.unknown") : SAY[unit](value)}`
    })
    .join(", ")
  return (
    <figure className="facts">
      <figcaption>{title}</figcaption>
      <Chart option={option} label={`${title}: ${latest}`} height={180} />
    </figure>
  )
}
