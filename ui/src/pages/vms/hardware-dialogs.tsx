/** Dialogs of a VM's hardware: what is plugged in, taken out or limited, each tried out while it is filled in. */
import { useTranslation } from "react-i18next"
import { useAll, useOne } from "../../api/cache"
import type { VM } from "../../api/kinds"
import { quote } from "../../parts/code"
import { begunWith, edited } from "../../parts/edited"
import { bodyOf, type Field, type Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"

/** Which one is open, and about what. */
export type Open =
  | { what: "add-disk" | "add-nic" | "insert" | "eject" }
  | { what: "limit-disk" | "unplug-disk"; volume: string }
  | { what: "limit-nic" | "unplug-nic"; mac: string }
  | null

const DISK_LIMITS = [
  { name: "limits.iops", text: "iops", kind: "number" },
  { name: "limits.bytes_s", text: "bytes_s", kind: "size" },
] as const
const NIC_LIMITS = [
  { name: "limits.in_mbit", text: "in_mbit", kind: "number" },
  { name: "limits.out_mbit", text: "out_mbit", kind: "number" },
] as const

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

type ChangeProps = Omit<Parameters<typeof AskDialog>[0], "title">

/** A dialog that is called what it does. */
function Change(props: ChangeProps) {
  return <AskDialog title={props.verb} {...props} />
}

/** The dialog of one change, where one is open. */
export function HardwareDialog({ vm, open, onClose }: { vm: VM; open: Open; onClose: () => void }) {
  const { t } = useTranslation()
  const pools = useAll("StoragePool").data?.items ?? []
  const images = useAll("Image").data?.items ?? []
  const networks = useAll("Network").data?.items ?? []
  const base = `/api/v1/vms/${vm.id}`
  const change = { name: vm.name, onClose }
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
        <Change
          verb={t("vms.do.add_disk")}
          fields={fields}
          request={v => ({ method: "POST", path: `${base}/disks`, body: bodyOf(fields, v) })}
          command={v =>
            v.volume
              ? `corral vm attach-disk ${quote(vm.name)} ${quote(String(v.volume))}`
              : `corral vm attach-disk ${quote(vm.name)} ${quote(diskWords(v))}`
          }
          {...change}
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
        <Change
          verb={t("vms.do.add_nic")}
          fields={fields}
          request={v => ({ method: "POST", path: `${base}/nics`, body: bodyOf(fields, v) })}
          {...change}
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
        <Change
          verb={t("vms.do.insert")}
          fields={fields}
          request={v => ({ method: "POST", path: `${base}/insert`, body: bodyOf(fields, v) })}
          {...change}
        />
      )
    }
    case "eject":
      return (
        <Change
          verb={t("vms.do.eject")}
          fields={[force]}
          request={v => ({ method: "POST", path: `${base}/eject${v.force ? "?force=true" : ""}` })}
          {...change}
        />
      )
    case "limit-disk":
    case "limit-nic": {
      const { limits, plain, path } =
        "volume" in open
          ? {
              limits: limitsSet(vm.spec.disks?.find(d => d.volume === open.volume)?.tuning?.limits),
              plain: DISK_LIMITS,
              path: `${base}/disks/${open.volume}`,
            }
          : {
              limits: limitsSet(vm.spec.nics?.find(n => n.mac === open.mac)?.limits),
              plain: NIC_LIMITS,
              path: `${base}/nics/${open.mac}`,
            }
      const named = plain.map(
        ({ name, text, kind }): Field => ({ name, kind, label: t(`vms.hardware.${text}`) }),
      )
      const fields = begunWith(named, { limits })
      return (
        <Change
          verb={t("vms.do.limit")}
          fields={fields}
          request={v => ({ method: "PATCH", path, body: edited(fields, v, { limits }) })}
          {...change}
        />
      )
    }
    case "unplug-disk":
    case "unplug-nic": {
      const path = "volume" in open ? `${base}/disks/${open.volume}` : `${base}/nics/${open.mac}`
      return (
        <Change
          verb={t("vms.do.unplug")}
          danger
          fields={[force]}
          request={v => ({ method: "DELETE", path: `${path}${v.force ? "?force=true" : ""}` })}
          {...change}
        >
          {"volume" in open ? (
            <UnplugDisk volume={open.volume} />
          ) : (
            <p>{t("vms.hardware.unplug_note", { what: open.mac })}</p>
          )}
        </Change>
      )
    }
  }
}

function UnplugDisk({ volume }: { volume: string }) {
  const { t } = useTranslation()
  const name = useOne("Volume", volume).data?.name ?? volume
  return <p>{t("vms.hardware.unplug_note", { what: name })}</p>
}
