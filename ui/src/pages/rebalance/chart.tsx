/** Before and after: nodes' shares as bars where there are few, as curves of the fullest first where there are many. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { percent } from "../../look/format"
import { Chart } from "../../parts/chart"
import { byFullness, type Picture } from "./shares"

const BARS_MAX = 60
const BEFORE = "#8a8d90"
const AFTER = "#4394e5"

export function SharesChart({ picture, figure }: { picture: Picture; figure: "cpu" | "memory" }) {
  const { t } = useTranslation()
  const option = useMemo(() => {
    const few = picture.before.length <= BARS_MAX
    const { before, after } = byFullness(picture, figure)
    const sorted = [...after].sort((a, b) => b[figure] - a[figure])
    const data = (nodes: typeof before) => nodes.map(node => Number(node[figure].toFixed(4)))
    const series = [
      { name: t("rebalance.before"), color: BEFORE, data: data(before) },
      { name: t("rebalance.after"), color: AFTER, data: data(few ? after : sorted) },
    ]
    return {
      grid: { left: 52, right: 12, top: 36, bottom: few ? 64 : 28 },
      legend: { top: 0, right: 0 },
      tooltip: { trigger: "axis", valueFormatter: (value: number) => percent(value, 1) },
      xAxis: {
        type: "category",
        data: few ? before.map(node => node.name) : before.map((_, at) => at + 1),
        axisLabel: { rotate: few ? 60 : 0 },
      },
      yAxis: { type: "value", min: 0, axisLabel: { formatter: (value: number) => percent(value) } },
      series: series.map(one => ({
        name: one.name,
        type: few ? "bar" : "line",
        showSymbol: false,
        barGap: "10%",
        itemStyle: { color: one.color },
        lineStyle: { color: one.color },
        data: one.data,
      })),
    }
  }, [picture, figure, t])
  return <Chart option={option} label={t(`rebalance.chart_${figure}`)} height={280} />
}
