/** Chart: ECharts on canvas, loaded when the first chart is drawn; follows size and theme. */
import type { EChartsCoreOption, EChartsType } from "echarts/core"
import { useEffect, useRef } from "react"
import { useTheme } from "../look/theme"

type Props = {
  option: EChartsCoreOption
  /** what it shows, for those who can't see it */
  label: string
  height?: number | string
  onClick?: (data: { dataIndex: number; name: string; data: unknown; seriesName?: string }) => void
}

export function Chart({ option, label, height = 240, onClick }: Props) {
  const place = useRef<HTMLDivElement>(null)
  const chart = useRef<EChartsType | null>(null)
  const latest = useRef({ option, onClick })
  latest.current = { option, onClick }
  const theme = useTheme()

  useEffect(() => {
    let over = false
    let watching: ResizeObserver | undefined
    void import("./echarts").then(({ echarts }) => {
      const element = place.current
      if (over || !element) return
      const drawn = echarts.init(element, theme === "dark" ? "dark" : undefined, { renderer: "canvas" })
      chart.current = drawn
      drawn.setOption({ backgroundColor: "transparent", animation: false, ...latest.current.option })
      drawn.on("click", event => latest.current.onClick?.(event as never))
      watching = new ResizeObserver(() => drawn.resize())
      watching.observe(element)
    })
    return () => {
      over = true
      watching?.disconnect()
      chart.current?.dispose()
      chart.current = null
    }
  }, [theme])

  useEffect(() => {
    chart.current?.setOption(
      { backgroundColor: "transparent", animation: false, ...option },
      { lazyUpdate: true },
    )
  }, [option])

  return (
    <div
      ref={place}
      role="img"
      aria-label={label}
      style={{ blockSize: height, inlineSize: "100%", flexShrink: 0 }}
    />
  )
}
