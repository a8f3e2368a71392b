/** Balance: R over time. Its chart is loaded when somebody comes to see it: it is the largest part of the page. */
import { Skeleton } from "@patternfly/react-core"
import { type RefObject, useEffect, useMemo, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import type { Whole } from "../../api/fleet"
import { Chart } from "../../parts/chart"

const HEIGHT = 220
const STANDS_MS = 800

export function BalanceCard({ whole }: { whole: Whole | undefined }) {
  const { t } = useTranslation()
  const place = useRef<HTMLDivElement>(null)
  const seen = useSeen(place, whole !== undefined)
  const history = useMemo(() => pointsOf(whole), [whole])
  const now = whole?.balance.now
  const option = useMemo(
    () => ({
      grid: { left: 50, right: 16, top: 16, bottom: 26 },
      tooltip: {
        trigger: "axis",
        valueFormatter: (v: unknown) => (typeof v === "number" ? v.toFixed(4) : "–"),
      },
      xAxis: { type: "time", axisLabel: { hideOverlap: true } },
      yAxis: { type: "value", scale: true },
      series: [
        {
          name: "R",
          type: "line",
          showSymbol: history.length < 2,
          lineStyle: { width: 2 },
          areaStyle: { opacity: 0.12 },
          data: history.map(([at, r]) => [at * 1000, r]),
        },
      ],
    }),
    [history],
  )
  if (whole && history.length === 0) return <p className="overview-quiet">{t("overview.balance.soon")}</p>
  if (!seen || !whole)
    return (
      <div ref={place}>
        <Skeleton height={`${HEIGHT}px`} screenreaderText={t("state.loading")} />
      </div>
    )
  const label = t("overview.balance.label", { now: now === null || now === undefined ? "–" : now.toFixed(3) })
  return <Chart option={option} label={label} height={HEIGHT} />
}

/** What was noted, and how it is now. */
function pointsOf(whole: Whole | undefined): [number, number][] {
  if (!whole) return []
  const { history, now } = whole.balance
  return now === null ? history : [...history, [whole.at, now]]
}

/** Whether it has come into view, once the page stands: before that everything is. */
function useSeen(place: RefObject<HTMLDivElement | null>, ready: boolean): boolean {
  const [seen, setSeen] = useState(false)
  useEffect(() => {
    if (!ready) return
    const watching = new IntersectionObserver(found => {
      if (found.some(entry => entry.isIntersecting)) setSeen(true)
    })
    const timer = setTimeout(() => place.current && watching.observe(place.current), STANDS_MS)
    return () => {
      clearTimeout(timer)
      watching.disconnect()
    }
  }, [place, ready])
  return seen
}
