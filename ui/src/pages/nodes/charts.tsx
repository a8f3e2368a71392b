/** Live charts of a node: what it uses, and what waits on it. */
import { useTranslation } from "react-i18next"
import { FactsChart, useSeries } from "../../parts/facts"

export function NodeCharts({ id }: { id: string }) {
  const { t } = useTranslation()
  const series = useSeries(`/api/v1/nodes/${encodeURIComponent(id)}/facts`)
  if (series.at.length === 0) return <p role="status">{t("nodes.charts.silent")}</p>
  return (
    <div className="wide-cards">
      <FactsChart
        series={series}
        unit="share"
        title={t("nodes.charts.cpu")}
        lines={[{ name: "cpu_share", title: t("nodes.charts.cpu") }]}
      />
      <FactsChart
        series={series}
        unit="bytes"
        title={t("nodes.charts.memory")}
        lines={[{ name: "memory_used_bytes", title: t("nodes.charts.memory") }]}
      />
      <FactsChart
        series={series}
        unit="share"
        title={t("nodes.charts.pressure")}
        lines={[
          { name: "psi_cpu", title: t("nodes.charts.psi_cpu") },
          { name: "psi_memory", title: t("nodes.charts.psi_memory") },
          { name: "psi_io", title: t("nodes.charts.psi_io") },
        ]}
      />
      <FactsChart
        series={series}
        unit="number"
        title={t("nodes.charts.load")}
        lines={[{ name: "load1", title: t("nodes.charts.load") }]}
      />
    </div>
  )
}
