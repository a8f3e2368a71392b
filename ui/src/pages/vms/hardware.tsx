/** Hardware of a VM: disks, NICs and CD drive, each changed while it runs. */
import { Button, Card, CardBody, CardHeader, CardTitle } from "@patternfly/react-core"
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useAll, useOne } from "../../api/cache"
import type { Schemas } from "../../api/client"
import type { VM } from "../../api/kinds"
import { bytes } from "../../look/format"
import { quote } from "../../parts/code"
import { begunWith, edited } from "../../parts/edited"
import { bodyOf, type Field, type Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { ResourceLink } from "../../parts/links"
import { useMay } from "../../session/session"

type Open =
  | { what: "add-disk" | "add-nic" | "insert" | "eject" }
  | { what: "limit-disk" | "unplug-disk"; volume: string }
  | { what: "limit-nic" | "unplug-nic"; mac: string }
  | null

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
      <Dialogs vm={vm} open={open} onClose={close} />
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
          <>
            <Button
              size="sm"
              variant="link"
              onClick={() => onOpen({ what: "limit-disk", volume: disk.volume })}
            >
              {t("vms.do.limit")}
            </Button>
            <Button
              size="sm"
              variant="link"
              onClick={() => onOpen({ what: "unplug-disk", volume: disk.volume })}
            >
              {t("vms.do.unplug")}
            </Button>
          </>
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
                <>
                  <Button
                    size="sm"
                    variant="link"
                    onClick={() => onOpen({ what: "limit-nic", mac: nic.mac })}
                  >
                    {t("vms.do.limit")}
                  </Button>
                  <Button
                    size="sm"
                    variant="link"
                    onClick={() => onOpen({ what: "unplug-nic", mac: nic.mac })}
                  >
                    {t("vms.do.unplug")}
                  </Button>
                </>
              )}
            </Td>
          </Tr>
        ))}
      </Tbody>
    </Table>
  )
}

/** A new disk as the command line has it: size=20GiB,image=debian-12 */
function diskWords(values: Values): string {
  return ["size", "image", "pool"]
    .filter(key => values[key])
    .map(key => `${key}=${values[key]}`)
    .join(",")
}

/** Limits that are set; 0 is none. */
function limitsSet(limits: object | null | undefined): Record<string, number> {
  return Object.fromEntries(Object.entries(limits ?? {}).filter(([, value]) => value > 0))
}

/** Limits that are set, in words. */
export function limitsText(limits: object | null | undefined): string {
  return Object.entries(limits ?? {})
    .filter(([, value]) => typeof value === "number" && value > 0)
    .map(([key, value]) => (key.endsWith("bytes_s") ? `${key} ${bytes(value)}` : `${key} ${value}`))
    .join(", ")
}

function Dialogs({ vm, open, onClose }: { vm: VM; open: Open; onClose: () => void }) {
  const { t } = useTranslation()
  const pools = useAll("StoragePool").data?.items ?? []
  const images = useAll("Image").data?.items ?? []
  const networks = useAll("Network").data?.items ?? []
  const base = `/api/v1/vms/${vm.id}`
  const named = (all: { name: string }[]) => all.map(({ name }) => ({ value: name, label: name }))
  const force: Field = { name: "force", label: t("vms.hardware.force"), kind: "check" }
  if (!open) return null
  switch (open.what) {
    case "add-disk": {
      const fields: Field[] = [
        { name: "volume", label: t("vms.hardware.existing"), kind: "text", help: t("vms.hardware.new_disk") },
        {
          name: "image",
          label: t("vms.hardware.image"),
          kind: "choice",
          choices: [{ value: "", label: t("vms.hardware.blank") }, ...named(images)],
          when: v => !v.volume,
        },
        { name: "size", label: t("vms.hardware.size"), kind: "size", initial: "10GiB", when: v => !v.volume },
        {
          name: "pool",
          label: t("vms.hardware.pool"),
          kind: "choice",
          choices: [{ value: "", label: t("vms.hardware.any_pool") }, ...named(pools)],
          when: v => !v.volume,
        },
      ]
      return (
        <AskDialog
          title={t("vms.do.add_disk")}
          verb={t("vms.do.add_disk")}
          name={vm.name}
          fields={fields}
          request={v => ({ method: "POST", path: `${base}/disks`, body: bodyOf(fields, v) })}
          command={v =>
            v.volume
              ? `corral vm attach-disk ${quote(vm.name)} ${quote(String(v.volume))}`
              : `corral vm attach-disk ${quote(vm.name)} ${quote(diskWords(v))}`
          }
          onClose={onClose}
        />
      )
    }
    case "add-nic": {
      const fields: Field[] = [
        {
          name: "network",
          label: t("vms.hardware.network"),
          kind: "choice",
          choices: named(networks),
          initial: networks[0]?.name ?? "",
          required: true,
        },
        { name: "address", label: t("vms.hardware.auto_address"), kind: "text" },
      ]
      return (
        <AskDialog
          title={t("vms.do.add_nic")}
          verb={t("vms.do.add_nic")}
          name={vm.name}
          fields={fields}
          request={v => ({ method: "POST", path: `${base}/nics`, body: bodyOf(fields, v) })}
          onClose={onClose}
        />
      )
    }
    case "insert": {
      const fields: Field[] = [
        {
          name: "image",
          label: t("vms.hardware.image"),
          kind: "choice",
          choices: named(images),
          initial: images[0]?.name ?? "",
        },
        force,
      ]
      return (
        <AskDialog
          title={t("vms.do.insert")}
          verb={t("vms.do.insert")}
          name={vm.name}
          fields={fields}
          request={v => ({ method: "POST", path: `${base}/insert`, body: bodyOf(fields, v) })}
          onClose={onClose}
        />
      )
    }
    case "eject":
      return (
        <AskDialog
          title={t("vms.do.eject")}
          verb={t("vms.do.eject")}
          name={vm.name}
          fields={[force]}
          request={v => ({ method: "POST", path: `${base}/eject${v.force ? "?force=true" : ""}` })}
          onClose={onClose}
        />
      )
    case "limit-disk": {
      const limits = limitsSet(vm.spec.disks?.find(d => d.volume === open.volume)?.tuning?.limits)
      const plain: Field[] = [
        { name: "limits.iops", label: t("vms.hardware.iops"), kind: "number" },
        { name: "limits.bytes_s", label: t("vms.hardware.bytes_s"), kind: "size" },
      ]
      const fields = begunWith(plain, { limits })
      return (
        <AskDialog
          title={t("vms.do.limit")}
          verb={t("vms.do.limit")}
          name={vm.name}
          fields={fields}
          request={v => ({
            method: "PATCH",
            path: `${base}/disks/${open.volume}`,
            body: edited(fields, v, { limits }),
          })}
          edits
          onClose={onClose}
        />
      )
    }
    case "limit-nic": {
      const limits = limitsSet(vm.spec.nics?.find(n => n.mac === open.mac)?.limits)
      const plain: Field[] = [
        { name: "limits.in_mbit", label: t("vms.hardware.in_mbit"), kind: "number" },
        { name: "limits.out_mbit", label: t("vms.hardware.out_mbit"), kind: "number" },
      ]
      const fields = begunWith(plain, { limits })
      return (
        <AskDialog
          title={t("vms.do.limit")}
          verb={t("vms.do.limit")}
          name={vm.name}
          fields={fields}
          request={v => ({
            method: "PATCH",
            path: `${base}/nics/${open.mac}`,
            body: edited(fields, v, { limits }),
          })}
          edits
          onClose={onClose}
        />
      )
    }
    case "unplug-disk":
    case "unplug-nic": {
      const path = "volume" in open ? `${base}/disks/${open.volume}` : `${base}/nics/${open.mac}`
      return (
        <AskDialog
          title={t("vms.do.unplug")}
          verb={t("vms.do.unplug")}
          name={vm.name}
          danger
          fields={[force]}
          request={v => ({ method: "DELETE", path: `${path}${v.force ? "?force=true" : ""}` })}
          onClose={onClose}
        >
          {"volume" in open ? (
            <UnplugDisk volume={open.volume} />
          ) : (
            <p>{t("vms.hardware.unplug_note", { what: open.mac })}</p>
          )}
        </AskDialog>
      )
    }
  }
}

function UnplugDisk({ volume }: { volume: string }) {
  const { t } = useTranslation()
  const name = useOne("Volume", volume).data?.name ?? volume
  return <p>{t("vms.hardware.unplug_note", { what: name })}</p>
}
