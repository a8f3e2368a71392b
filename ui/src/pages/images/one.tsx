/** One image: what it is and where copies of it are; and the volumes that stand on it. */
import { Card, CardBody, CardTitle, Progress } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { ago, bytes, moment, percent } from "../../look/format"
import { useNames } from "../../parts/choices"
import { condition } from "../../parts/conditions"
import { Described, Labels } from "../../parts/described"
import { ResourceLink } from "../../parts/links"
import { NamedLink } from "../../parts/named-link"
import { Phase } from "../../parts/phase"
import { Doing, useUsualDeeds } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import { Trouble } from "../../parts/trouble"
import { VolumeTable } from "../volumes/table"

type Image = RowOf<"Image">

export function OneImage() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="Image"
      above={[t("images.title"), "/"]}
      aside={of => <Phase phase={of.status?.phase} />}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [
        { key: "about", title: t("resource.about"), body: () => <About of={of} /> },
        {
          key: "volumes",
          title: t("nav.volumes"),
          body: () => (
            <div className="list-in-part">
              <VolumeTable always={condition("spec.image", "=", of.id)} />
            </div>
          ),
        },
      ]}
    />
  )
}

function Actions({ of }: { of: Image }) {
  const { t } = useTranslation()
  return (
    <Doing deeds={useUsualDeeds("Image", of, t("images.delete_warning", { name: of.name }))} name={of.name} />
  )
}

function About({ of }: { of: Image }) {
  const { t } = useTranslation()
  const { spec, status } = of
  return (
    <>
      <Trouble of={status?.trouble} />
      {(status?.phase === "importing" || status?.phase === "pending") && (
        <Progress
          title={status.waiting_for || status.step || t("phase.importing")}
          value={Math.round((status.progress ?? 0) * 100)}
        />
      )}
      <Card>
        <CardBody>
          <Described
            pairs={[
              [t("images.os"), spec.os || "–"],
              [t("images.format"), status?.format || "–"],
              [t("images.came_as"), status?.converted_from || undefined],
              [t("images.file_size"), bytes(status?.size_bytes || null)],
              [t("images.disk_size"), bytes(status?.virtual_bytes || null)],
              [t("images.source"), spec.url ? <bdi key="url">{spec.url}</bdi> : t("images.from_file")],
              ["SHA-256", status?.sha256 ? <code key="sha">{status.sha256}</code> : "–"],
              [t("col.labels"), <Labels key="labels" of={of.labels} />],
              [t("col.created"), moment(of.created_at)],
              [t("resource.id"), <code key="id">{of.id}</code>],
            ]}
          />
        </CardBody>
      </Card>
      <Copies of={of} />
    </>
  )
}

function Copies({ of }: { of: Image }) {
  const { t } = useTranslation()
  const pools = useNames("StoragePool")
  const copies = Object.entries(of.status?.copies ?? {})
  return (
    <Card>
      <CardTitle component="h2">{t("images.copies_title")}</CardTitle>
      <CardBody>
        {copies.length === 0 ? (
          t("images.no_copies")
        ) : (
          <table className="simple-table">
            <thead>
              <tr>
                <th scope="col">{t("volumes.pool")}</th>
                <th scope="col">{t("col.node")}</th>
                <th scope="col">{t("col.status")}</th>
                <th scope="col">{t("images.unused")}</th>
              </tr>
            </thead>
            <tbody>
              {copies.map(([key, copy]) => (
                <tr key={key}>
                  <td>
                    <ResourceLink of={{ kind: "StoragePool", id: copy.pool, name: pools.get(copy.pool) }} />
                  </td>
                  <td>
                    <NamedLink kind="Node" id={copy.node} />
                  </td>
                  <td>
                    {copy.going ? t("images.going") : (copy.report?.state ?? t("images.noted"))}
                    {copy.report && copy.report.progress > 0 && copy.report.progress < 1
                      ? ` ${percent(copy.report.progress)}`
                      : ""}
                  </td>
                  <td>{copy.unused_since ? ago(copy.unused_since) : "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </CardBody>
    </Card>
  )
}
