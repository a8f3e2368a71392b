/** Hardware of a VM: disks, NICs and CD drive, each changed while it runs. */
import { Button, Card, CardBody, CardHeader, CardTitle } from "@patternfly/react-core"
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useAll, useOne } from "../../api/cache"
import type { Schemas } from "../../api/client"
import type { VM } from "../../api/kinds"
import { bytes } from "../../look/format"
import { ResourceLink } from "../../parts/links"
import { useMay } from "../../session/session"
import { HardwareDialog, type Open } from "./hardware-dialogs"

export function Hardware({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const may = useMay("operator")
  const [open, setOpen] = useState<Open>(null)
  const close = () => setOpen(null)
  return (
    <>
      <Card>
        <CardHeader
          actions={{
            actions: may && (
              <Button size="sm" variant="secondary" onClick={() => setOpen({ what: "add-disk" })}>
                {t("vms.do.add_disk")}
              </Button>
            ),
          }}
        >
          <CardTitle>{t("vms.hardware.disks")}</CardTitle>
        </CardHeader>
        <CardBody>
          <Table variant="compact" aria-label={t("vms.hardware.disks")}>
            <Thead>
              <Tr>
                <Th>{t("vms.hardware.volume")}</Th>
                <Th>{t("col.size")}</Th>
                <Th>{t("vms.hardware.bus")}</Th>
                <Th>{t("vms.hardware.limits")}</Th>
                <Th screenReaderText={t("col.actions")} />
              </Tr>
            </Thead>
            <Tbody>
              {vm.spec.disks?.map(disk => (
                <DiskRow key={disk.volume} disk={disk} may={may} onOpen={setOpen} />
              ))}
            </Tbody>
          </Table>
        </CardBody>
      </Card>
      <Card>
        <CardHeader
          actions={{
            actions: may && (
              <Button size="sm" variant="secondary" onClick={() => setOpen({ what: "add-nic" })}>
                {t("vms.do.add_nic")}
              </Button>
            ),
          }}
        >
          <CardTitle>{t("vms.hardware.nics")}</CardTitle>
        </CardHeader>
        <CardBody>
          <Nics vm={vm} may={may} onOpen={setOpen} />
        </CardBody>
      </Card>
      <Card>
        <CardHeader
          actions={{
            actions: may && (
              <>
                <Button size="sm" variant="secondary" onClick={() => setOpen({ what: "insert" })}>
                  {t("vms.do.insert")}
                </Button>
                {vm.spec.cd && (vm.spec.cd.image || vm.spec.cd.volume) && (
                  <Button size="sm" variant="secondary" onClick={() => setOpen({ what: "eject" })}>
                    {t("vms.do.eject")}
                  </Button>
                )}
              </>
            ),
          }}
        >
          <CardTitle>{t("vms.hardware.cd")}</CardTitle>
        </CardHeader>
        <CardBody>
          {vm.spec.cd?.image ? (
            <ResourceLink of={{ kind: "Image", id: vm.spec.cd.image }} />
          ) : vm.spec.cd?.volume ? (
            <ResourceLink of={{ kind: "Volume", id: vm.spec.cd.volume }} />
          ) : (
            <span className="quiet">{t("vms.hardware.cd_empty")}</span>
          )}
        </CardBody>
      </Card>
      <HardwareDialog vm={vm} open={open} onClose={close} />
    </>
  )
}

type RowProps<T> = { may: boolean; onOpen: (open: Open) => void } & T

function DiskRow({ disk, may, onOpen }: RowProps<{ disk: Schemas["Disk"] }>) {
  const { t } = useTranslation()
  const volume = useOne("Volume", disk.volume).data
  return (
    <Tr>
      <Td dataLabel={t("vms.hardware.volume")}>
        <ResourceLink of={{ kind: "Volume", id: disk.volume }}>{volume?.name ?? disk.volume}</ResourceLink>
      </Td>
      <Td dataLabel={t("col.size")}>{bytes(volume?.spec.size_bytes)}</Td>
      <Td dataLabel={t("vms.hardware.bus")}>{disk.bus}</Td>
      <Td dataLabel={t("vms.hardware.limits")}>
        {limitsText(disk.tuning?.limits) || t("vms.hardware.unlimited")}
      </Td>
      <Td isActionCell>
        {may && (
          <RowDeeds
            onOpen={onOpen}
            limit={{ what: "limit-disk", volume: disk.volume }}
            unplug={{ what: "unplug-disk", volume: disk.volume }}
          />
        )}
      </Td>
    </Tr>
  )
}

function Nics({ vm, may, onOpen }: RowProps<{ vm: VM }>) {
  const { t } = useTranslation()
  const networks = useAll("Network").data?.items ?? []
  const name = (id: string) => networks.find(n => n.id === id)?.name ?? id
  return (
    <Table variant="compact" aria-label={t("vms.hardware.nics")}>
      <Thead>
        <Tr>
          <Th>{t("vms.hardware.network")}</Th>
          <Th>{t("vms.address")}</Th>
          <Th>{t("vms.hardware.mac")}</Th>
          <Th>{t("vms.hardware.model")}</Th>
          <Th>{t("vms.hardware.limits")}</Th>
          <Th screenReaderText={t("col.actions")} />
        </Tr>
      </Thead>
      <Tbody>
        {vm.spec.nics?.map(nic => (
          <Tr key={nic.mac}>
            <Td dataLabel={t("vms.hardware.network")}>
              <ResourceLink of={{ kind: "Network", id: nic.network }}>{name(nic.network)}</ResourceLink>
            </Td>
            <Td dataLabel={t("vms.address")}>{nic.address || "–"}</Td>
            <Td dataLabel={t("vms.hardware.mac")} className="mono">
              {nic.mac}
            </Td>
            <Td dataLabel={t("vms.hardware.model")}>{nic.model}</Td>
            <Td dataLabel={t("vms.hardware.limits")}>
              {limitsText(nic.limits) || t("vms.hardware.unlimited")}
            </Td>
            <Td isActionCell>
              {may && (
                <RowDeeds
                  onOpen={onOpen}
                  limit={{ what: "limit-nic", mac: nic.mac }}
                  unplug={{ what: "unplug-nic", mac: nic.mac }}
                />
              )}
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  )
}

function RowDeeds({ onOpen, limit, unplug }: { onOpen: (open: Open) => void; limit: Open; unplug: Open }) {
  const { t } = useTranslation()
  return (
    <>
      <Button size="sm" variant="link" onClick={() => onOpen(limit)}>
        {t("vms.do.limit")}
      </Button>
      <Button size="sm" variant="link" onClick={() => onOpen(unplug)}>
        {t("vms.do.unplug")}
      </Button>
    </>
  )
}

/** Limits that are set, in words. */
function limitsText(limits: object | null | undefined): string {
  return Object.entries(limits ?? {})
    .filter(([, value]) => typeof value === "number" && value > 0)
    .map(([key, value]) => (key.endsWith("bytes_s") ? `${key} ${bytes(value)}` : `${key} ${value}`))
    .join(", ")
}
