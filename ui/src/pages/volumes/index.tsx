/** Volumes: disks that outlive their VMs; the list, a new one, and the trash. */
import { useTranslation } from "react-i18next"
import { useChoices } from "../../parts/choices"
import { command, wordsOf } from "../../parts/command"
import { bodyOf, type Field } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { NounPages } from "../../parts/noun-pages"
import { Page } from "../../parts/page"
import { Doing } from "../../parts/resource-asks"
import { OneVolume } from "./one"
import { VolumeTable } from "./table"

export default function Volumes() {
  return <NounPages List={VolumeList} One={OneVolume} />
}

function VolumeList() {
  const { t } = useTranslation()
  return (
    <Page title={t("volumes.title")} actions={<Create />}>
      <VolumeTable emptyAction={<Create />} />
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
          title: t("volumes.create"),
          first: true,
          dialog: close => <CreateDialog close={close} />,
        },
      ]}
    />
  )
}

function CreateDialog({ close }: { close: () => void }) {
  const { t } = useTranslation()
  const pools = useChoices("StoragePool", t("volumes.usual_pool"))
  const images = useChoices("Image", t("volumes.no_image"))
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, help: t("resource.name_help") },
    { name: "image", label: t("volumes.image"), kind: "choice", choices: images },
    { name: "size", label: t("col.size"), kind: "size", help: t("volumes.size_help") },
    { name: "pool", label: t("volumes.pool"), kind: "choice", choices: pools },
    { name: "node", label: t("col.node"), kind: "text", help: t("volumes.node_help") },
    { name: "labels", label: t("col.labels"), kind: "labels", help: t("resource.labels_help") },
  ]
  return (
    <AskDialog
      title={t("volumes.create")}
      verb={t("action.create")}
      name=""
      fields={fields}
      request={values => ({ method: "POST", path: "/api/v1/volumes", body: bodyOf(fields, values) })}
      command={values =>
        command(["corral", "volume", "create", values.name], {
          size: values.size,
          image: values.image,
          pool: values.pool,
          node: values.node,
          label: wordsOf(values.labels),
        })
      }
      onClose={close}
    />
  )
}
