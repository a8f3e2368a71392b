/**
 * Heat map: every node a cell, all of them at once, drawn straight onto a canvas.
 *
 * Comes in       the columns of all nodes, live
 * Always true    a cell says its node's name and figures when the pointer or the keyboard is on it, and opens it with
 *                a click or Enter; what the keyboard is on is told to screen readers
 * Next door      layout.ts has the places, colours.ts the colours, both purely
 */
import { ToggleGroup, ToggleGroupItem } from "@patternfly/react-core"
import type { TFunction } from "i18next"
import { type KeyboardEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link, useLocation } from "wouter"
import { type Cell, type Columns, cellAt } from "../../api/fleet"
import { count, percent } from "../../look/format"
import { type Theme, useTheme } from "../../look/theme"
import { phaseText } from "../../text"
import { cellColour, LEGEND, MEASURES, type Measure, PHASES, shareColour } from "./colours"
import { cellUnder, type Layout, layoutCells, moved } from "./layout"

const HEIGHT_MAX = 420
const WIDTH_FIRST = 1_000 // until it is measured

export function HeatMap({ columns }: { columns: Columns | undefined }) {
  const { t } = useTranslation()
  const theme = useTheme()
  const [measure, setMeasure] = useState<Measure>("cpu_claimed")
  const place = useRef<HTMLDivElement>(null)
  const width = useWidth(place)
  const racks = columns?.racks
  const names = columns?.names
  const layout = useMemo(
    () => layoutCells(racks ?? [], names ?? [], width, HEIGHT_MAX),
    [racks, names, width],
  )

  return (
    <div className="heat">
      <div className="row">
        <ToggleGroup aria-label={t("overview.heat.measure")} isCompact>
          {MEASURES.map(m => (
            <ToggleGroupItem
              key={m}
              text={t(`overview.heat.${m}`)}
              buttonId={`heat-${m}`}
              isSelected={measure === m}
              onChange={() => setMeasure(m)}
            />
          ))}
        </ToggleGroup>
        <Legend measure={measure} theme={theme} />
        <span className="heat-list">
          <Link href="~/nodes">{t("overview.heat.as_list")}</Link>
        </span>
      </div>
      <div ref={place} className="heat-place">
        {columns && <Cells columns={columns} layout={layout} measure={measure} theme={theme} width={width} />}
      </div>
    </div>
  )
}

type CellsProps = { columns: Columns; layout: Layout; measure: Measure; theme: Theme; width: number }

function Cells({ columns, layout, measure, theme, width }: CellsProps) {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const canvas = useRef<HTMLCanvasElement>(null)
  const [at, setAt] = useState(-1)
  const [keyed, setKeyed] = useState(false) // whether the keyboard brought us here
  const cell = at >= 0 ? cellAt(columns, at) : undefined

  useLayoutEffect(() => {
    const element = canvas.current
    if (element) draw(element, columns, layout, measure, theme, width)
  }, [columns, layout, measure, theme, width])

  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && cell) return go(`~/nodes/${cell.id}`)
    const to = moved(layout, at < 0 ? (layout.order[0] ?? 0) : at, event.key)
    if (to === undefined) return
    event.preventDefault()
    setKeyed(true)
    setAt(at < 0 ? (layout.order[0] ?? 0) : to)
  }
  const under = (event: React.PointerEvent | React.MouseEvent) => {
    const box = event.currentTarget.getBoundingClientRect()
    return cellUnder(layout, event.clientX - box.left, event.clientY - box.top)
  }
  const enter = () => {
    setKeyed(true)
    if (at < 0) setAt(layout.order[0] ?? -1)
  }

  return (
    <>
      {/* biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: one stop for the keyboard, in which arrows move */}
      <canvas
        ref={canvas}
        className="heat-canvas"
        data-nodes={columns.ids.length}
        data-measure={measure}
        tabIndex={0}
        role="application"
        aria-label={t("overview.heat.label", { count: columns.ids.length })}
        aria-describedby="heat-help"
        onKeyDown={onKey}
        onFocus={event => event.currentTarget.matches(":focus-visible") && enter()}
        onBlur={() => setAt(-1)}
        onPointerMove={event => {
          setKeyed(false)
          setAt(under(event))
        }}
        onPointerLeave={() => setAt(-1)}
        onClick={event => {
          const id = columns.ids[under(event)]
          if (id) go(`~/nodes/${id}`)
        }}
      />
      <span id="heat-help" className="pf-v6-screen-reader">
        {t("overview.heat.help")}
      </span>
      <span className="pf-v6-screen-reader" role="status">
        {keyed && cell ? describe(t, cell) : ""}
      </span>
      {cell && <Bubble cell={cell} layout={layout} at={at} width={width} />}
    </>
  )
}

/** What the pointer or the keyboard is on. */
function Bubble({ cell, layout, at, width }: { cell: Cell; layout: Layout; at: number; width: number }) {
  const { t } = useTranslation()
  const x = layout.x[at] ?? 0
  const y = layout.y[at] ?? 0
  const side = layout.step - layout.gap
  const left = x + 260 > width ? Math.max(0, x - 252) : x + layout.step + 6
  return (
    <>
      <div
        className="heat-cursor"
        style={{ transform: `translate(${x - 2}px, ${y - 2}px)`, width: side + 4, height: side + 4 }}
      />
      <div className="heat-bubble" aria-hidden style={{ left, top: y + layout.step + 6 }}>
        <bdi className="heat-name">{cell.name}</bdi>
        <dl>
          {facts(t, cell).map(([word, figure]) => (
            <div key={word}>
              <dt>{word}</dt>
              <dd>{figure}</dd>
            </div>
          ))}
        </dl>
      </div>
    </>
  )
}

function facts(t: TFunction, cell: Cell): [string, string][] {
  return [
    [t("col.phase"), phaseText(t, cell.phase)],
    [t("overview.heat.rack"), cell.rack || t("state.none")],
    [t("overview.heat.cpu_claimed"), percent(cell.cpu_claimed)],
    [t("overview.heat.memory_claimed"), percent(cell.memory_claimed)],
    [t("overview.heat.cpu_used"), percent(cell.cpu_used)],
    [t("overview.heat.memory_used"), percent(cell.memory_used)],
    [t("nav.vms"), count(cell.vms)],
  ]
}

function describe(t: TFunction, cell: Cell): string {
  return [cell.name, ...facts(t, cell).map(([word, figure]) => `${word} ${figure}`)].join(", ")
}

function Legend({ measure, theme }: { measure: Measure; theme: Theme }) {
  const { t } = useTranslation()
  if (measure === "phase")
    return (
      <span className="heat-legend">
        {Object.entries(PHASES[theme]).map(([phase, colour]) => (
          <span key={phase} className="heat-key">
            <span className="heat-swatch" style={{ background: colour }} /> {phaseText(t, phase)}
          </span>
        ))}
      </span>
    )
  const words = (share: number | null) => {
    if (share === null) return t("state.unknown")
    return share > 1 ? "> 100 %" : `≥ ${percent(share)}`
  }
  return (
    <span className="heat-legend">
      <span>0 %</span>
      <span className="heat-ramp">
        {LEGEND.filter(share => share !== null && share < 0.9).map(share => (
          <span
            key={String(share)}
            className="heat-swatch"
            style={{ background: shareColour(share, theme) }}
          />
        ))}
      </span>
      {[0.9, 1.01, null].map(share => (
        <span key={String(share)} className="heat-key">
          <span className="heat-swatch" style={{ background: shareColour(share, theme) }} /> {words(share)}
        </span>
      ))}
    </span>
  )
}

/** All cells in one go; lost nodes are crossed out whatever is measured. */
function draw(
  canvas: HTMLCanvasElement,
  columns: Columns,
  layout: Layout,
  measure: Measure,
  theme: Theme,
  width: number,
): void {
  const ratio = window.devicePixelRatio || 1
  const height = Math.max(1, layout.height)
  canvas.width = Math.round(width * ratio)
  canvas.height = Math.round(height * ratio)
  canvas.style.height = `${height}px`
  const paint = canvas.getContext("2d")
  if (!paint) return
  paint.scale(ratio, ratio)
  const side = layout.step - layout.gap
  const lost: number[] = []
  for (let n = 0; n < columns.ids.length; n += 1) {
    const phase = columns.phases[n] ?? ""
    if (phase === "lost") lost.push(n)
    paint.fillStyle =
      measure === "phase"
        ? cellColour({ ...NO_CELL, phase }, measure, theme)
        : shareColour(columns[measure][n] ?? null, theme)
    paint.fillRect(layout.x[n] ?? 0, layout.y[n] ?? 0, side, side)
  }
  cross(paint, lost, layout, side, theme)
  name(paint, layout, theme)
}

const NO_CELL = { cpu_claimed: 0, memory_claimed: 0, cpu_used: null, memory_used: null }

function cross(
  paint: CanvasRenderingContext2D,
  nodes: readonly number[],
  layout: Layout,
  side: number,
  theme: Theme,
): void {
  paint.strokeStyle = PHASES[theme].lost ?? "red"
  paint.lineWidth = side > 10 ? 2 : 1.25
  paint.beginPath()
  for (const n of nodes) {
    const x = layout.x[n] ?? 0
    const y = layout.y[n] ?? 0
    paint.moveTo(x, y)
    paint.lineTo(x + side, y + side)
    paint.moveTo(x + side, y)
    paint.lineTo(x, y + side)
  }
  paint.stroke()
}

/** Names of racks, where there is room for them. */
function name(paint: CanvasRenderingContext2D, layout: Layout, theme: Theme): void {
  if (layout.step < 14) return
  paint.fillStyle = theme === "dark" ? "#c7c7c7" : "#4d4d4d"
  paint.font = "12px RedHatText, system-ui, sans-serif"
  paint.textBaseline = "top"
  for (const rack of layout.racks) {
    paint.save()
    paint.beginPath()
    paint.rect(rack.x, rack.y, rack.width + 8, 18)
    paint.clip()
    paint.fillText(rack.name || "–", rack.x, rack.y + 2)
    paint.restore()
  }
}

function useWidth(place: React.RefObject<HTMLDivElement | null>): number {
  const [width, setWidth] = useState(WIDTH_FIRST)
  useEffect(() => {
    const element = place.current
    if (!element) return
    const watching = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.max(120, Math.floor(entry.contentRect.width)))
    })
    watching.observe(element)
    return () => watching.disconnect()
  }, [place])
  return width
}
