/** Inventory: what a node has and what of it VMs may have, in words. */
import {
  Card,
  CardBody,
  CardTitle,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  Label,
  LabelGroup,
} from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useAll } from "../../api/cache"
import { cellAt, placesOf, useCells } from "../../api/fleet"
import type { Node } from "../../api/kinds"
import { bytes, count } from "../../look/format"
import { Ago } from "../../parts/ago"
import { ResourceLink } from "../../parts/links"
import { Meter } from "../../parts/meter"

type Fact = [string, React.ReactNode]

export function Inventory({ node }: { node: Node }) {
  const { t } = useTranslation()
  return (
    <>
      <Claims id={node.id} />
      <div className="wide-cards">
        <Facts title={t("nodes.inventory")} facts={useHost(node)} />
        <Facts title={t("nodes.rules")} facts={useRules(node)} />
      </div>
    </>
  )
}

/** What VMs have claimed of it, and what it really uses. */
function Claims({ id }: { id: string }) {
  const { t } = useTranslation()
  const { data } = useCells()
  const cell = data && cellAt(data, placesOf(data.ids).get(id) ?? -1)
  if (!cell) return null
  return (
    <div className="cards">
      <Meter label={t("nodes.col.cpu")} claimed={cell.cpu_claimed} used={cell.cpu_used} />
      <Meter label={t("nodes.col.memory")} claimed={cell.memory_claimed} used={cell.memory_used} />
    </div>
  )
}

function Facts({ title, facts }: { title: string; facts: Fact[] }) {
  return (
    <Card component="section" aria-label={title}>
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody>
        <DescriptionList isHorizontal isCompact>
          {facts.map(([term, value]) => (
            <DescriptionListGroup key={term}>
              <DescriptionListTerm>{term}</DescriptionListTerm>
              <DescriptionListDescription className="nodes-fact">{value || "–"}</DescriptionListDescription>
            </DescriptionListGroup>
          ))}
        </DescriptionList>
      </CardBody>
    </Card>
  )
}

function useHost(node: Node): Fact[] {
  const { t } = useTranslation()
  const pools = useAll("StoragePool").data?.items
  const networks = useAll("Network").data?.items
  const { inventory, phase, since, agent_version } = node.status
  const { cpu, accelerator } = inventory
  const rows: [string, React.ReactNode, boolean][] = [
    [t("nodes.field.since"), <Ago key="since" at={since} />, phase !== "joining"],
    [t("nodes.field.hostname"), inventory.hostname, true],
    [t("nodes.field.agent"), agent_version, true],
    [
      t("nodes.field.cpu"),
      <>
        {cpu.model} {t("nodes.field.cpus", { cpus: inventory.cpus, ...cpu })}
      </>,
      true,
    ],
    [t("nodes.field.memory"), bytes(inventory.memory_bytes), true],
    [
      t("nodes.field.accelerator"),
      <>
        {accelerator.kind === "kvm" ? "KVM" : t("nodes.emulated")}
        {accelerator.reason && `: ${accelerator.reason}`}
      </>,
      true,
    ],
    [t("nodes.field.hypervisor"), inventory.hypervisor, true],
    [t("nodes.field.kernel"), `${inventory.kernel} ${inventory.architecture}`, true],
    [
      t("nodes.field.disks"),
      <Lines key="disks" of={inventory.disks.map(d => `${d.name} ${bytes(d.size_bytes)} ${d.model}`)} />,
      inventory.disks.length > 0,
    ],
    [
      t("nodes.field.gpus"),
      <Lines key="gpus" of={inventory.gpus.map(g => `${g.address} ${g.vendor}:${g.device}`)} />,
      inventory.gpus.length > 0,
    ],
    [
      t("nodes.field.usb"),
      <Lines key="usb" of={inventory.usb.map(u => `${u.address} ${u.name || u.id}`)} />,
      inventory.usb.length > 0,
    ],
    [t("nodes.field.bridges"), inventory.bridges.join(", "), inventory.bridges.length > 0],
    [
      t("nodes.field.pools"),
      <ul key="pools">
        {Object.entries(node.status.pools).map(([id, pool]) => (
          <li key={id}>
            <ResourceLink of={{ kind: "StoragePool", id, name: pools?.find(p => p.id === id)?.name ?? id }} />{" "}
            {pool.ready
              ? t("nodes.field.free_of", { free: bytes(pool.free_bytes), total: bytes(pool.total_bytes) })
              : `${t("nodes.field.not_ready")}${pool.trouble ? `: ${pool.trouble.message}` : ""}`}
          </li>
        ))}
      </ul>,
      Object.keys(node.status.pools).length > 0,
    ],
    [
      t("nodes.field.networks"),
      <ul key="networks">
        {Object.entries(node.status.networks).map(([id, network]) => (
          <li key={id}>
            <ResourceLink of={{ kind: "Network", id, name: networks?.find(n => n.id === id)?.name ?? id }} />{" "}
            {network.ready ? t("nodes.field.ready") : t("nodes.field.not_ready")}
            {network.trouble && `: ${network.trouble.message}`}
          </li>
        ))}
      </ul>,
      Object.keys(node.status.networks).length > 0,
    ],
    [
      t("nodes.field.migration"),
      `${inventory.migration_address} ${inventory.migration_tls ? t("nodes.field.migration_tls") : ""}`,
      inventory.migration_address !== "",
    ],
    [t("nodes.field.joined"), <Ago key="joined" at={node.created_at} />, true],
    [t("nodes.field.id"), <code key="id">{node.id}</code>, true],
  ]
  return rows.filter(([, , there]) => there).map(([term, value]) => [term, value])
}

function useRules(node: Node): Fact[] {
  const { t } = useTranslation()
  const { spec, labels } = node
  const limit = (value: number) => (value > 0 ? count(value) : t("nodes.field.no_limit"))
  return [
    [t("nodes.field.cpu_overcommit"), String(spec.cpu_overcommit)],
    [t("nodes.field.memory_overcommit"), String(spec.memory_overcommit)],
    [t("nodes.field.reserve_cpus"), count(spec.reserve_cpus)],
    [t("nodes.field.reserve_memory"), bytes(spec.reserve_memory_bytes)],
    [t("nodes.field.dedicated_cpus"), spec.dedicated_cpus || t("state.none")],
    [t("nodes.field.rack"), spec.rack || labels.rack || t("state.none")],
    [t("nodes.field.iops"), limit(spec.iops)],
    [t("nodes.field.network_mbit"), limit(spec.network_mbit)],
    [t("nodes.field.power_watts"), limit(spec.power_watts)],
    [t("nodes.field.labels"), <Labels key="labels" of={labels} />],
  ]
}

function Labels({ of }: { of: Record<string, string> }) {
  const { t } = useTranslation()
  const all = Object.entries(of).sort()
  if (all.length === 0) return <>{t("state.none")}</>
  return (
    <LabelGroup numLabels={10} aria-label={t("nodes.field.labels")}>
      {all.map(([key, value]) => (
        <Label key={key} isCompact variant="outline">
          <bdi>
            {key}={value}
          </bdi>
        </Label>
      ))}
    </LabelGroup>
  )
}

function Lines({ of }: { of: string[] }) {
  return (
    <ul>
      {of.map(line => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  )
}
