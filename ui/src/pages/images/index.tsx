/** Images: what volumes are made from; imported from a URL or from a file here. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { bytes, percent } from "../../look/format"
import type { Wanted } from "../../parts/conditions"
import { NounPages } from "../../parts/noun-pages"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { Doing } from "../../parts/resource-asks"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import { createdColumn, labelsColumn, nameColumn, nameWanted } from "../../parts/usual-columns"
import type { Column } from "../../parts/virtual-table"
import { phaseText } from "../../text"
import { FetchDialog, UploadDialog } from "./import"
import { OneImage } from "./one"

const PHASES = ["pending", "importing", "ready", "failed", "deleting"]

export default function Images() {
  return <NounPages List={ImageList} One={OneImage} />
}

function ImageList() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const wanted = useMemo<Wanted[]>(
    () => [
      nameWanted(t),
      {
        key: "phase",
        label: t("col.phase"),
        path: "status.phase",
        operator: "=",
        choices: PHASES.map(value => ({ value, label: phaseText(t, value) })),
      },
    ],
    [t],
  )
  const columns = useMemo<Column<RowOf<"Image">>[]>(
    () => [
      nameColumn(t),
      {
        key: "phase",
        title: t("col.phase"),
        width: "minmax(8rem, 1fr)",
        sort: "status.phase",
        cell: of => (
          <>
            <Phase phase={of.status?.phase} />
            {of.status?.phase === "importing" && ` ${percent(of.status.progress)}`}
          </>
        ),
      },
      { key: "os", title: t("images.os"), width: "minmax(7rem, 2fr)", cell: of => of.spec.os || "–" },
      { key: "format", title: t("images.format"), width: "5rem", cell: of => of.status?.format || "–" },
      {
        key: "size",
        title: t("images.file_size"),
        width: "6rem",
        sort: "status.size_bytes",
        align: "end",
        cell: of => bytes(of.status?.size_bytes || null),
      },
      {
        key: "virtual",
        title: t("images.disk_size"),
        width: "6rem",
        sort: "status.virtual_bytes",
        align: "end",
        cell: of => bytes(of.status?.virtual_bytes || null),
      },
      {
        key: "copies",
        title: t("images.copies"),
        width: "5rem",
        align: "end",
        cell: of => Object.keys(of.status?.copies ?? {}).length,
      },
      labelsColumn(t),
      createdColumn(t),
    ],
    [t],
  )
  return (
    <Page title={t("images.title")} actions={<Import />}>
      <ResourceList
        kind="Image"
        label={t("images.title")}
        columns={columns}
        wanted={wanted}
        empty={t("images.empty")}
        emptyAction={<Import />}
        onOpen={of => go(`/${of.id}`)}
      />
    </Page>
  )
}

function Import() {
  const { t } = useTranslation()
  return (
    <Doing
      deeds={[
        {
          key: "fetch",
          title: t("images.fetch"),
          first: true,
          dialog: close => <FetchDialog close={close} />,
        },
        {
          key: "upload",
          title: t("images.upload"),
          first: true,
          second: true,
          dialog: close => <UploadDialog close={close} />,
        },
      ]}
    />
  )
}
