/** Overview of a VM: where it runs, its guest, what it does now. */
import {
  Card,
  CardBody,
  CardTitle,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Progress,
} from "@patternfly/react-core"
import { type ReactNode, useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import type { VM } from "../../api/kinds"
import { ago, bytes, count, moment, span } from "../../look/format"
import { FactsChart, useSeries } from "../../parts/facts"
import { ResourceLink } from "../../parts/links"
import { useMay } from "../../session/session"
import { useNodeNames } from "./list"

export function Overview({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const names = useNodeNames()
  const { spec, status } = vm
  const node = status?.node
  const report = node ? status?.reports?.[node] : undefined
  const last = status?.last_migration
  return (
    <>
      {status?.migration && (
        <Progress
          title={t("vms.overview.migrating", {
            node: names.get(status.migration.target) ?? status.migration.target,
          })}
          value={migrated(report?.migration)}
        />
      )}
      <div className="wide-cards">
        <Card>
          <CardTitle>{t("vms.tabs.overview")}</CardTitle>
          <CardBody>
            <DescriptionList isHorizontal isCompact>
              <Line term={t("vms.overview.where")}>
                {node ? (
                  <ResourceLink of={{ kind: "Node", id: node }}>{names.get(node) ?? node}</ResourceLink>
                ) : (
                  "–"
                )}
              </Line>
              <Line term={t("vms.guest")}>{status?.guest?.up ? t("vms.up") : t("vms.silent")}</Line>
              <Line term={t("vms.overview.hostname")}>{status?.guest?.hostname || "–"}</Line>
              <Line term={t("vms.address")}>{status?.guest?.addresses?.join(", ") || "–"}</Line>
              <Line term={t("col.cpus")}>{count(spec.cpus)}</Line>
              <Line term={t("col.memory")}>{bytes(spec.memory_bytes)}</Line>
              <Line term={t("vms.overview.firmware")}>{spec.hardware?.firmware ?? "bios"}</Line>
              <Line term={t("vms.overview.machine")}>{spec.hardware?.machine || "–"}</Line>
              <Line term={t("vms.policy")}>{spec.policy || t("vms.new.default_policy")}</Line>
              <Line term={t("col.labels")}>
                {Object.entries(vm.labels ?? {})
                  .map(([key, value]) => `${key}=${value}`)
                  .join(", ") || "–"}
              </Line>
              <Line term={t("col.created")}>
                <span title={moment(vm.created_at)}>{ago(vm.created_at)}</span>
              </Line>
              <Line term={t("vms.overview.restarts")}>{count(report?.restarts ?? 0)}</Line>
              {last && (
                <Line term={t("vms.overview.last_migration")}>
                  {t("vms.overview.migration_line", {
                    state: last.state,
                    time: span(last.total_s),
                    downtime: last.downtime_ms ? span(last.downtime_ms / 1000) : "–",
                  })}
                </Line>
              )}
            </DescriptionList>
          </CardBody>
        </Card>
        <Screen vm={vm} />
        <Figures vm={vm} />
      </div>
    </>
  )
}

function Line({ term, children }: { term: string; children: ReactNode }) {
  return (
    <DescriptionListGroup>
      <DescriptionListTerm>{term}</DescriptionListTerm>
      <DescriptionListDescription>
        <bdi>{children}</bdi>
      </DescriptionListDescription>
    </DescriptionListGroup>
  )
}

function migrated(report: { progress?: number } | null | undefined): number {
  return Math.round((report?.progress ?? 0) * 100)
}

function Figures({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const series = useSeries(`/api/v1/vms/${vm.id}/facts`)
  if (vm.status?.phase !== "running" && series.at.length === 0) return null
  return (
    <>
      <Card>
        <CardBody>
          <FactsChart
            series={series}
            unit="share"
            title={t("vms.overview.cpu_chart")}
            lines={[{ name: "cpu_share", title: "CPU" }]}
          />
          <FactsChart
            series={series}
            unit="bytes"
            title={t("vms.overview.memory_chart")}
            lines={[{ name: "memory_bytes", title: t("col.memory") }]}
          />
        </CardBody>
      </Card>
      <Card>
        <CardBody>
          <FactsChart
            series={series}
            unit="bytes_s"
            title={t("vms.overview.block_chart")}
            lines={[
              { name: "block_read_bytes_s", title: t("vms.overview.read") },
              { name: "block_write_bytes_s", title: t("vms.overview.write") },
            ]}
          />
          <FactsChart
            series={series}
            unit="bytes_s"
            title={t("vms.overview.net_chart")}
            lines={[
              { name: "net_in_bytes_s", title: t("vms.overview.in") },
              { name: "net_out_bytes_s", title: t("vms.overview.out") },
            ]}
          />
        </CardBody>
      </Card>
    </>
  )
}

/** What is on the VM's screen, taken when the page opens and whenever its phase changes. */
function Screen({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const may = useMay("operator")
  const [failed, setFailed] = useState(false)
  const phase = vm.status?.phase
  // biome-ignore lint/correctness/useExhaustiveDependencies: another phase is another picture
  useEffect(() => setFailed(false), [phase])
  if (!may || phase !== "running") return null
  return (
    <Card>
      <CardTitle>{t("vms.overview.screen")}</CardTitle>
      <CardBody>
        {failed ? (
          <p className="quiet">{t("vms.overview.no_screen")}</p>
        ) : (
          <img
            className="screen"
            alt={t("vms.console.screen", { name: vm.name })}
            src={`/api/v1/vms/${vm.id}/screenshot`}
            onError={() => setFailed(true)}
          />
        )}
      </CardBody>
    </Card>
  )
}
