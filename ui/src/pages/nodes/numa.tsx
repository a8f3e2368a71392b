/** NUMA: the node's cells as a picture: whose each CPU is, how much memory is claimed, who is there. */
import { Card, CardBody, CardTitle } from "@patternfly/react-core"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { useWindow } from "../../api/cache"
import type { Node } from "../../api/kinds"
import { bytes, count } from "../../look/format"
import { ResourceLink } from "../../parts/links"
import { Meter } from "../../parts/meter"
import { type CellView, type CpuView, cellViews } from "./cells"

const SHOWN = 500 // VMs in the picture

export function NumaPicture({ node }: { node: Node }) {
  const { t } = useTranslation()
  const list = useWindow("VM", { sort: "name", filter: `status.node=${node.id}` }, 0, SHOWN - 1)
  const vms = Array.from({ length: Math.min(SHOWN, list.total) }, (_, n) => list.row(n)).filter(
    vm => vm !== undefined,
  )
  const { inventory } = node.status
  const { cells, floating } = cellViews(inventory.cells, vms, node.spec.dedicated_cpus)
  const colours = useColours(cells)
  if (cells.length === 0) return <p>{t("nodes.numa.none")}</p>
  return (
    <>
      <div className="wide-cards">
        {cells.map(cell => (
          <OneCell key={cell.id} cell={cell} colours={colours} />
        ))}
      </div>
      <p>
        <strong>{t("nodes.numa.floating_count", { count: floating.length })}</strong>{" "}
        {t("nodes.numa.floating")}
      </p>
      {list.total > SHOWN && <p>{t("nodes.numa.partial", { count: SHOWN })}</p>}
    </>
  )
}

function OneCell({ cell, colours }: { cell: CellView; colours: ReadonlyMap<string, string> }) {
  const { t } = useTranslation()
  const title = t("nodes.numa.cell", { id: cell.id })
  const taken = cell.cpus.filter(cpu => cpu.vm).length
  const picture = t("nodes.numa.picture", { id: cell.id, taken, total: cell.cpus.length })
  return (
    <Card component="section" aria-label={title}>
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody className="numa">
        <div>
          <div className="numa-words">{t("nodes.numa.cpus")}</div>
          <div className="numa-cpus" role="img" aria-label={picture}>
            {cell.cpus.map(cpu => (
              <Cpu key={cpu.cpu} of={cpu} colour={cpu.vm ? colours.get(cpu.vm.id) : undefined} />
            ))}
          </div>
        </div>
        <Meter
          label={t("nodes.numa.memory")}
          claimed={cell.memory_bytes ? cell.claimed_bytes / cell.memory_bytes : null}
          text={`${bytes(cell.claimed_bytes)} / ${bytes(cell.memory_bytes)}`}
        />
        {cell.hugepages.length > 0 && (
          <div>
            {t("nodes.numa.hugepages")}:{" "}
            {cell.hugepages.map(([size, pages]) => `${count(pages)} × ${bytes(size)}`).join(", ")}
          </div>
        )}
        <div>
          <div className="numa-words">{t("nodes.numa.on_cell")}</div>
          {cell.vms.length === 0 && <span>{t("nodes.numa.nobody")}</span>}
          <ul className="numa-vms">
            {cell.vms.map(vm => (
              <li key={vm.id}>
                <span className="heat-swatch" style={{ background: colours.get(vm.id) }} />
                <ResourceLink of={{ kind: "VM", id: vm.id, name: vm.name }} />
                <span className="overview-quiet">
                  {vm.cpus.length > 0 && `CPU ${vm.cpus.join(",")} · `}
                  {bytes(vm.memory_bytes)}
                </span>
              </li>
            ))}
          </ul>
        </div>
      </CardBody>
    </Card>
  )
}

function Cpu({ of: { cpu, vm, dedicated }, colour }: { of: CpuView; colour: string | undefined }) {
  const { t } = useTranslation()
  const whose = vm ? vm.name : dedicated ? t("nodes.numa.dedicated") : t("nodes.numa.free")
  return (
    <span
      className={`numa-cpu${vm ? " taken" : ""}${dedicated ? " dedicated" : ""}`}
      style={colour ? { background: colour } : undefined}
      title={`CPU ${cpu}: ${whose}`}
    >
      {cpu}
    </span>
  )
}

/** A colour for each VM that has a place of its own: dark enough for white numbers on it. */
function useColours(cells: readonly CellView[]): ReadonlyMap<string, string> {
  const key = [...new Set(cells.flatMap(cell => cell.vms.map(vm => vm.id)))].join(" ")
  return useMemo(
    () => new Map(key.split(" ").map((id, n) => [id, `hsl(${(n * 137 + 210) % 360} 55% 33%)`])),
    [key],
  )
}
