/** One network: its addresses, the ports on it, what leads in, and what its nodes make of it. */
import { Button, Card, CardBody } from "@patternfly/react-core"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { useAll } from "../../api/cache"
import type { Schemas } from "../../api/client"
import { count, moment } from "../../look/format"
import { condition, type Wanted } from "../../parts/conditions"
import { Confirm } from "../../parts/confirm"
import { Described, Labels } from "../../parts/described"
import { ResourceLink } from "../../parts/links"
import { NamedLink } from "../../parts/named-link"
import { Doing, EditedDoing } from "../../parts/resource-asks"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import { createdColumn } from "../../parts/usual-columns"
import type { Column } from "../../parts/virtual-table"
import { useMay } from "../../session/session"
import { Usable } from "../pools/one"
import { EditDialog, ForwardDialog, type Network } from "./dialogs"

export function OneNetwork() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="Network"
      above={[t("networks.title"), "/"]}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [
        { key: "about", title: t("resource.about"), body: () => <About of={of} /> },
        { key: "ports", title: t("networks.ports"), body: () => <Ports of={of} /> },
        {
          key: "forwards",
          title: t("networks.forwards"),
          count: of.spec.forwards?.length ?? 0,
          body: () => <Forwards of={of} />,
        },
        { key: "nodes", title: t("resource.nodes"), body: () => <OnNodes of={of} /> },
      ]}
    />
  )
}

function Actions({ of }: { of: Network }) {
  const { t } = useTranslation()
  return (
    <EditedDoing
      kind="Network"
      of={of}
      warning={t("networks.delete_warning", { name: of.name })}
      edit={close => <EditDialog of={of} close={close} />}
    />
  )
}

function About({ of }: { of: Network }) {
  const { t } = useTranslation()
  const { spec } = of
  const subnet = spec.subnet
  const range = subnet?.first || subnet?.last ? `${subnet.first || "…"} – ${subnet.last || "…"}` : undefined
  return (
    <Card>
      <CardBody>
        <Described
          pairs={[
            [t("networks.segment"), t(`networks.segments_help.${spec.segment ?? "bridge"}`)],
            [t("networks.bridge"), <bdi key="bridge">{spec.bridge}</bdi>],
            ["VLAN", spec.vlan ? `${spec.vlan} (${spec.uplink})` : undefined],
            [t("networks.subnet"), subnet?.cidr ?? t("networks.no_subnet")],
            [t("networks.range"), range],
            [t("networks.gateway"), subnet?.gateway || undefined],
            [t("networks.dns"), subnet?.dns?.length ? subnet.dns.join(", ") : undefined],
            ["DHCP", subnet ? (subnet.dhcp === false ? t("resource.no") : t("resource.yes")) : undefined],
            [t("networks.domain"), spec.domain || undefined],
            [t("networks.forwarders"), spec.forwarders?.length ? spec.forwarders.join(", ") : undefined],
            ["MTU", spec.mtu],
            [
              t("networks.anti_spoofing"),
              spec.anti_spoofing === false ? t("resource.no") : t("resource.yes"),
            ],
            [t("col.labels"), <Labels key="labels" of={of.labels} />],
            [t("col.created"), moment(of.created_at)],
            [t("resource.id"), <code key="id">{of.id}</code>],
          ]}
        />
      </CardBody>
    </Card>
  )
}

/** Reserved addresses: what DHCP gives out, and to whom. */
function Ports({ of }: { of: Network }) {
  const { t } = useTranslation()
  const wanted = useMemo<Wanted[]>(
    () => [
      { key: "address", label: t("networks.address"), path: "spec.address", operator: "~" },
      { key: "mac", label: "MAC", path: "spec.mac", operator: "~" },
    ],
    [t],
  )
  const columns = useMemo<Column<RowOf<"Port">>[]>(
    () => [
      {
        key: "address",
        title: t("networks.address"),
        width: "minmax(9rem, 1fr)",
        sort: "spec.address",
        cell: port => port.spec.address || "–",
      },
      {
        key: "mac",
        title: "MAC",
        width: "minmax(10rem, 1fr)",
        sort: "spec.mac",
        cell: port => <code>{port.spec.mac}</code>,
      },
      {
        key: "vm",
        title: "VM",
        width: "minmax(10rem, 2fr)",
        cell: port => <NamedLink kind="VM" id={port.spec.vm} />,
      },
      createdColumn(t),
    ],
    [t],
  )
  return (
    <div className="list-in-part">
      <ResourceList
        kind="Port"
        label={t("networks.ports")}
        columns={columns}
        wanted={wanted}
        always={condition("spec.network", "=", of.id)}
        sort="spec.address"
        empty={t("networks.no_ports")}
      />
    </div>
  )
}

function Forwards({ of }: { of: Network }) {
  const { t } = useTranslation()
  const may = useMay("operator")
  const [ending, setEnding] = useState<Schemas["PortForward"] | null>(null)
  const forwards = of.spec.forwards ?? []
  return (
    <Card>
      <CardBody>
        <div className="page-part">
          <p>{of.spec.segment === "nat" ? t("networks.forwards_help") : t("networks.no_nat")}</p>
          {of.spec.segment === "nat" && (
            <div className="row">
              <Doing
                deeds={[
                  {
                    key: "add",
                    title: t("networks.add_forward"),
                    first: true,
                    dialog: close => <ForwardDialog of={of} close={close} />,
                  },
                ]}
              />
            </div>
          )}
          {forwards.length > 0 && (
            <table className="simple-table">
              <thead>
                <tr>
                  <th scope="col">{t("networks.port")}</th>
                  <th scope="col">VM</th>
                  <th scope="col">{t("networks.to_port")}</th>
                  <th scope="col">{t("col.actions")}</th>
                </tr>
              </thead>
              <tbody>
                {forwards.map(forward => (
                  <tr key={keyOf(forward)}>
                    <td>{`${forward.port}/${forward.protocol ?? "tcp"}`}</td>
                    <td>
                      <NamedLink kind="VM" id={forward.vm} />
                    </td>
                    <td>{forward.to_port}</td>
                    <td>
                      {may && (
                        <Button variant="link" isInline isDanger onClick={() => setEnding(forward)}>
                          {t("networks.end_forward")}
                        </Button>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </div>
        {ending && <EndForward of={of} forward={ending} close={() => setEnding(null)} />}
      </CardBody>
    </Card>
  )
}

function keyOf(forward: Schemas["PortForward"]): string {
  return `${forward.protocol ?? "tcp"}-${forward.port}`
}

type EndProps = { of: Network; forward: Schemas["PortForward"]; close: () => void }

function EndForward({ of, forward, close }: EndProps) {
  const { t } = useTranslation()
  const ask = useAsk()
  const name = `${of.name} ${forward.port}/${forward.protocol ?? "tcp"}`
  return (
    <Confirm
      title={t("resource.delete_title", { verb: t("networks.end_forward"), name })}
      verb={t("networks.end_forward")}
      onConfirm={() =>
        ask({
          verb: t("networks.end_forward"),
          name,
          method: "DELETE",
          path: `/api/v1/networks/${of.id}/forwards/${keyOf(forward)}`,
        })
      }
      onClose={close}
    >
      {t("networks.end_forward_help")}
    </Confirm>
  )
}

function OnNodes({ of }: { of: Network }) {
  const { t } = useTranslation()
  const nodes = useAll("Node").data
  const seen = (nodes?.items ?? []).filter(node => node.status?.networks?.[of.id])
  return (
    <Card>
      <CardBody>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so has to be reached by keyboard */}
        <section className="simple-scroll" tabIndex={0} aria-label={t("resource.nodes")}>
          <table className="simple-table">
            <thead>
              <tr>
                <th scope="col">{t("col.node")}</th>
                <th scope="col">{t("col.status")}</th>
                <th scope="col">{t("networks.leases")}</th>
              </tr>
            </thead>
            <tbody>
              {seen.slice(0, 500).map(node => {
                const there = node.status?.networks?.[of.id]
                return (
                  <tr key={node.id}>
                    <td>
                      <ResourceLink of={node} />
                    </td>
                    <td>{there && <Usable of={there} />}</td>
                    <td title={there?.leases?.join("\n")}>{count(there?.leases?.length ?? 0)}</td>
                  </tr>
                )
              })}
            </tbody>
          </table>
        </section>
        {seen.length === 0 && <p>{t("networks.on_no_node")}</p>}
      </CardBody>
    </Card>
  )
}
