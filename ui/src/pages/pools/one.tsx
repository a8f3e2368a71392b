/** One storage pool: what each node sees of it, and the volumes in it. */
import { Card, CardBody, CardTitle, Label } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useAll } from "../../api/cache"
import { bytes, count, moment } from "../../look/format"
import { condition } from "../../parts/conditions"
import { Described, Labels } from "../../parts/described"
import { ResourceLink } from "../../parts/links"
import { Meter } from "../../parts/meter"
import { Doing, useUsualDeeds } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import { VolumeTable } from "../volumes/table"
import { roomOf, takenShare } from "./room"

type Pool = RowOf<"StoragePool">

export function OnePool() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="StoragePool"
      above={[t("pools.title"), "/"]}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [
        { key: "about", title: t("resource.about"), body: () => <About of={of} /> },
        {
          key: "volumes",
          title: t("nav.volumes"),
          body: () => (
            <div className="list-in-part">
              <VolumeTable always={condition("spec.pool", "=", of.id)} />
            </div>
          ),
        },
      ]}
    />
  )
}

function Actions({ of }: { of: Pool }) {
  const { t } = useTranslation()
  const deeds = useUsualDeeds("StoragePool", of, t("pools.delete_warning", { path: of.spec.path }))
  return <Doing deeds={deeds} name={of.name} />
}

function About({ of }: { of: Pool }) {
  const { t } = useTranslation()
  const nodes = useAll("Node").data
  const room = roomOf(of, nodes?.items ?? [])
  return (
    <>
      <Card>
        <CardBody>
          <Described
            pairs={[
              [t("pools.path"), <code key="path">{of.spec.path}</code>],
              [t("pools.shared"), of.spec.shared ? t("resource.yes") : t("resource.no")],
              [
                t("resource.room"),
                <Meter
                  key="room"
                  label={t("resource.free_of", { free: bytes(room.free), total: bytes(room.total) })}
                  claimed={takenShare(room)}
                />,
              ],
              [t("resource.nodes"), of.spec.nodes?.length ? undefined : t("resource.everywhere")],
              [t("col.labels"), <Labels key="labels" of={of.labels} />],
              [t("col.created"), moment(of.created_at)],
              [t("resource.id"), <code key="id">{of.id}</code>],
            ]}
          />
        </CardBody>
      </Card>
      <Card>
        <CardTitle component="h2">
          {t("pools.on_nodes", { ready: count(room.ready), total: count(room.seen.length) })}
        </CardTitle>
        <CardBody>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so has to be reached by keyboard */}
          <section className="simple-scroll" tabIndex={0} aria-label={t("resource.nodes")}>
            <table className="simple-table">
              <thead>
                <tr>
                  <th scope="col">{t("col.node")}</th>
                  <th scope="col">{t("col.status")}</th>
                  <th scope="col">{t("resource.room")}</th>
                </tr>
              </thead>
              <tbody>
                {room.seen.slice(0, 500).map(({ id, name, pool }) => (
                  <tr key={id}>
                    <td>
                      <ResourceLink of={{ kind: "Node", id, name }} />
                    </td>
                    <td>
                      <Usable of={pool} />
                    </td>
                    <td>
                      <Meter
                        label={t("resource.free_of", {
                          free: bytes(pool.free_bytes),
                          total: bytes(pool.total_bytes),
                        })}
                        claimed={takenShare({ total: pool.total_bytes, free: pool.free_bytes })}
                      />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
          {(nodes?.total ?? 0) > (nodes?.items.length ?? 0) && <p>{t("pools.first_nodes")}</p>}
        </CardBody>
      </Card>
    </>
  )
}

type OnNode = { ready?: boolean; trouble?: { message: string; hint?: string } | null }

/** Whether a node can use it, and if not why, with what to do. */
export function Usable({ of }: { of: OnNode }) {
  const { t } = useTranslation()
  return (
    <>
      <Label isCompact variant="outline" status={of.ready ? "success" : "warning"}>
        {of.ready ? t("resource.usable") : t("resource.unusable")}
      </Label>
      {of.trouble && (
        <p>
          {of.trouble.message} {of.trouble.hint}
        </p>
      )}
    </>
  )
}
