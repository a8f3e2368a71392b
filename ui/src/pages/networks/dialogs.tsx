/** Dialogs of networks: a new one, other addresses for one, and ports that lead to VMs. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import type { Schemas } from "../../api/client"
import { command, wordsOf } from "../../parts/command"
import { begunWith } from "../../parts/edited"
import { bodyOf, type Field, initialValues, type Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import type { RowOf } from "../../parts/resource-list"
import { changedOnly } from "./changed"

export type Network = RowOf<"Network">
const SEGMENTS: Schemas["Segment"][] = ["bridge", "vlan", "isolated", "nat"]

export function CreateDialog({ close }: { close: () => void }) {
  const { t } = useTranslation()
  const has = (values: Values) => String(values["subnet.cidr"] ?? "").trim() !== ""
  const names = (values: Values) => values.segment === "nat" || values.segment === "isolated"
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, help: t("resource.name_help") },
    {
      name: "segment",
      label: t("networks.segment"),
      kind: "choice",
      initial: "bridge",
      choices: SEGMENTS.map(value => ({ value, label: t(`networks.segments_help.${value}`) })),
    },
    {
      name: "bridge",
      label: t("networks.bridge"),
      kind: "text",
      required: true,
      help: t("networks.bridge_help"),
      when: values => values.segment === "bridge",
    },
    {
      name: "uplink",
      label: t("networks.uplink"),
      kind: "text",
      required: true,
      help: t("networks.uplink_help"),
      when: values => values.segment === "vlan",
    },
    {
      name: "vlan",
      label: "VLAN",
      kind: "number",
      required: true,
      help: t("networks.vlan_help"),
      when: values => values.segment === "vlan",
    },
    { name: "subnet.cidr", label: t("networks.subnet"), kind: "text", help: t("networks.subnet_help") },
    {
      name: "subnet.first",
      label: t("networks.first"),
      kind: "text",
      help: t("networks.range_help"),
      when: has,
    },
    { name: "subnet.last", label: t("networks.last"), kind: "text", when: has },
    {
      name: "subnet.gateway",
      label: t("networks.gateway"),
      kind: "text",
      help: t("networks.gateway_help"),
      when: values => has(values) && values.segment !== "isolated",
    },
    { name: "subnet.dns", label: t("networks.dns"), kind: "words", help: t("networks.dns_help"), when: has },
    {
      name: "subnet.dhcp",
      label: "DHCP",
      kind: "check",
      initial: true,
      help: t("networks.dhcp_help"),
      when: has,
    },
    {
      name: "domain",
      label: t("networks.domain"),
      kind: "text",
      help: t("networks.domain_help"),
      when: names,
    },
    { name: "mtu", label: "MTU", kind: "number", initial: "1500", help: t("networks.mtu_help") },
    {
      name: "anti_spoofing",
      label: t("networks.anti_spoofing"),
      kind: "check",
      initial: true,
      help: t("networks.anti_spoofing_help"),
    },
    { name: "nodes", label: t("resource.nodes"), kind: "words", help: t("resource.nodes_help") },
    { name: "labels", label: t("col.labels"), kind: "labels", help: t("resource.labels_help") },
  ]
  return (
    <AskDialog
      title={t("networks.create")}
      verb={t("action.create")}
      name=""
      fields={fields}
      request={values => ({ method: "POST", path: "/api/v1/networks", body: bodyOf(fields, values) })}
      command={values => createCommand(values)}
      onClose={close}
    />
  )
}

function createCommand(values: Values): string {
  const range = values["subnet.first"] && values["subnet.last"]
  return command(["corral", "network", "create", values.name], {
    bridge: values.segment === "bridge" ? values.bridge : "",
    vlan: values.segment === "vlan" ? values.vlan : "",
    uplink: values.segment === "vlan" ? values.uplink : "",
    nat: values.segment === "nat",
    isolated: values.segment === "isolated",
    subnet: values["subnet.cidr"],
    range: range ? `${values["subnet.first"]}-${values["subnet.last"]}` : "",
    gateway: values["subnet.gateway"],
    dns: wordsOf(values["subnet.dns"]),
    "no-dhcp": values["subnet.dhcp"] === false,
    domain: values.domain,
    mtu: values.mtu === "1500" ? "" : values.mtu,
    "no-anti-spoofing": values.anti_spoofing === false,
    node: wordsOf(values.nodes),
    label: wordsOf(values.labels),
  })
}

/** Only what was changed is sent: the rest stays as it is. */
export function EditDialog({ of, close }: { of: Network; close: () => void }) {
  const { t } = useTranslation()
  const fields = useMemo(() => {
    const subnet: Field[] = of.spec.subnet
      ? [
          { name: "subnet.first", label: t("networks.first"), kind: "text", help: t("networks.range_help") },
          { name: "subnet.last", label: t("networks.last"), kind: "text" },
          { name: "subnet.gateway", label: t("networks.gateway"), kind: "text" },
          { name: "subnet.dns", label: t("networks.dns"), kind: "words", help: t("networks.dns_help") },
          { name: "subnet.dhcp", label: "DHCP", kind: "check", help: t("networks.dhcp_help") },
        ]
      : []
    const all: Field[] = [
      ...subnet,
      { name: "domain", label: t("networks.domain"), kind: "text", help: t("networks.domain_help") },
      {
        name: "forwarders",
        label: t("networks.forwarders"),
        kind: "words",
        help: t("networks.forwarders_help"),
      },
      { name: "mtu", label: "MTU", kind: "number", help: t("networks.mtu_help") },
      {
        name: "anti_spoofing",
        label: t("networks.anti_spoofing"),
        kind: "check",
        help: t("networks.anti_spoofing_help"),
      },
    ]
    return begunWith(all, of.spec)
  }, [t, of])
  const before = useMemo(() => initialValues(fields), [fields])
  return (
    <AskDialog
      title={t("resource.edit_title", { name: of.name })}
      verb={t("action.edit")}
      name={of.name}
      fields={fields}
      request={values => ({
        method: "PATCH",
        path: `/api/v1/networks/${of.id}`,
        body: changedOnly(fields, before, values),
        ifMatch: of.revision,
      })}
      onClose={close}
    >
      <p>{t("networks.edit_help")}</p>
    </AskDialog>
  )
}

export function ForwardDialog({ of, close }: { of: Network; close: () => void }) {
  const { t } = useTranslation()
  const fields: Field[] = [
    {
      name: "port",
      label: t("networks.port"),
      kind: "number",
      required: true,
      help: t("networks.port_help"),
    },
    {
      name: "protocol",
      label: t("networks.protocol"),
      kind: "choice",
      initial: "tcp",
      choices: ["tcp", "udp"].map(value => ({ value, label: value })),
    },
    { name: "vm", label: "VM", kind: "text", required: true, help: t("networks.vm_help") },
    { name: "to_port", label: t("networks.to_port"), kind: "number", help: t("networks.to_port_help") },
  ]
  return (
    <AskDialog
      title={t("networks.forward_title", { name: of.name })}
      verb={t("networks.add_forward")}
      name={of.name}
      fields={fields}
      request={values => ({
        method: "POST",
        path: `/api/v1/networks/${of.id}/forwards`,
        body: bodyOf(fields, values),
        ifMatch: of.revision,
      })}
      command={values =>
        command(
          [
            "corral",
            "network",
            "forward",
            "add",
            of.name,
            values.protocol === "udp" ? `${values.port}/udp` : values.port,
          ],
          { vm: values.vm, to: values.to_port },
        )
      }
      onClose={close}
    />
  )
}
