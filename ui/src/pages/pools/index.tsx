/** Storage pools: where volumes live, with the room that is left. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useAll } from "../../api/cache"
import { bytes } from "../../look/format"
import { command, wordsOf } from "../../parts/command"
import { bodyOf, type Field } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { Meter } from "../../parts/meter"
import { NounPages } from "../../parts/noun-pages"
import { Page } from "../../parts/page"
import { Doing } from "../../parts/resource-asks"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import { createdColumn, labelsColumn, nameColumn, nameWanted } from "../../parts/usual-columns"
import type { Column } from "../../parts/virtual-table"
import { OnePool } from "./one"
import { roomOf, takenShare } from "./room"

export default function Pools() {
  return <NounPages List={PoolList} One={OnePool} />
}

function PoolList() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const nodes = useAll("Node").data
  const wanted = useMemo(() => [nameWanted(t)], [t])
  const columns = useMemo<Column<RowOf<"StoragePool">>[]>(
    () => [
      nameColumn(t),
      {
        key: "path",
        title: t("pools.path"),
        width: "minmax(10rem, 3fr)",
        cell: of => <bdi title={of.spec.path}>{of.spec.path}</bdi>,
      },
      {
        key: "shared",
        title: t("pools.shared"),
        width: "7rem",
        cell: of => (of.spec.shared ? t("resource.yes") : t("resource.no")),
      },
      {
        key: "ready",
        title: t("resource.nodes"),
        width: "6rem",
        align: "end",
        cell: of => {
          const { ready, seen } = roomOf(of, nodes?.items ?? [])
          return `${ready} / ${seen.length}`
        },
      },
      {
        key: "room",
        title: t("resource.room"),
        width: "minmax(12rem, 2fr)",
        cell: of => {
          const room = roomOf(of, nodes?.items ?? [])
          const text = t("resource.free_of", { free: bytes(room.free), total: bytes(room.total) })
          return room.total ? <Meter label={text} claimed={takenShare(room)} /> : "–"
        },
      },
      labelsColumn(t),
      createdColumn(t),
    ],
    [t, nodes],
  )
  return (
    <Page title={t("pools.title")} actions={<Create />}>
      <ResourceList
        kind="StoragePool"
        label={t("pools.title")}
        columns={columns}
        wanted={wanted}
        empty={t("pools.empty")}
        emptyAction={<Create />}
        onOpen={of => go(`/${of.id}`)}
      />
    </Page>
  )
}

function Create() {
  const { t } = useTranslation()
  return (
    <Doing
      deeds={[
        {
          key: "create",
          title: t("pools.create"),
          first: true,
          dialog: close => <CreateDialog close={close} />,
        },
      ]}
    />
  )
}

function CreateDialog({ close }: { close: () => void }) {
  const { t } = useTranslation()
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, help: t("resource.name_help") },
    { name: "path", label: t("pools.path"), kind: "text", required: true, help: t("pools.path_help") },
    { name: "shared", label: t("pools.shared"), kind: "check", help: t("pools.shared_help") },
    { name: "nodes", label: t("resource.nodes"), kind: "words", help: t("resource.nodes_help") },
    { name: "labels", label: t("col.labels"), kind: "labels", help: t("resource.labels_help") },
  ]
  return (
    <AskDialog
      title={t("pools.create")}
      verb={t("action.create")}
      name=""
      fields={fields}
      request={values => ({ method: "POST", path: "/api/v1/pools", body: bodyOf(fields, values) })}
      command={values =>
        command(["corral", "pool", "create", values.name], {
          path: String(values.path),
          shared: values.shared === true,
          node: wordsOf(values.nodes),
          label: wordsOf(values.labels),
        })
      }
      onClose={close}
    />
  )
}
