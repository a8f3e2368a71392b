/** One volume: where it is, what it stands on, who uses it; larger, copied, moved, deleted and had back. */
import { Alert, Card, CardBody, Progress } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { ago, bytes, moment } from "../../look/format"
import { useChoices, useNames } from "../../parts/choices"
import { command } from "../../parts/command"
import { Confirm } from "../../parts/confirm"
import { Described, Labels } from "../../parts/described"
import { bodyOf, type Field } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { ResourceLink } from "../../parts/links"
import { NamedLink } from "../../parts/named-link"
import { Phase } from "../../parts/phase"
import { type Deed, DeleteDialog, Doing, LabelsDialog } from "../../parts/resource-asks"
import { ResourcePage } from "../../parts/resource-page"
import { Trouble } from "../../parts/trouble"
import { nameOf, type Volume } from "./table"

type DialogProps = { of: Volume; close: () => void }

export function OneVolume() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="Volume"
      above={[t("volumes.title"), "/"]}
      title={nameOf}
      aside={of => <Phase phase={of.status?.phase} />}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [{ key: "about", title: t("resource.about"), body: () => <About of={of} /> }]}
    />
  )
}

function Actions({ of }: { of: Volume }) {
  const { t } = useTranslation()
  const purge: Deed = {
    key: "purge",
    title: t("volumes.purge"),
    danger: true,
    dialog: close => (
      <DeleteDialog
        kind="Volume"
        of={of}
        close={close}
        then="/"
        verb={t("volumes.purge")}
        query="?purge=true"
      >
        {t("volumes.purge_warning", { name: nameOf(of), size: bytes(of.spec.size_bytes) })}
      </DeleteDialog>
    ),
  }
  const wipe: Deed = {
    key: "wipe",
    title: t("volumes.wipe"),
    danger: true,
    dialog: close => (
      <DeleteDialog kind="Volume" of={of} close={close} then="/" verb={t("volumes.wipe")} query="?wipe=true">
        {t("volumes.wipe_warning", { name: nameOf(of) })}
      </DeleteDialog>
    ),
  }
  if (of.spec.trash)
    return (
      <Doing
        name={nameOf(of)}
        deeds={[
          {
            key: "restore",
            title: t("volumes.restore"),
            first: true,
            dialog: close => <RestoreDialog of={of} close={close} />,
          },
          purge,
          wipe,
        ]}
      />
    )
  const deeds: Deed[] = [
    {
      key: "resize",
      title: t("volumes.resize"),
      first: true,
      dialog: close => <ResizeDialog of={of} close={close} />,
    },
    { key: "clone", title: t("volumes.clone"), dialog: close => <CloneDialog of={of} close={close} /> },
    { key: "move", title: t("volumes.move"), dialog: close => <MoveDialog of={of} close={close} /> },
    {
      key: "labels",
      title: t("resource.labels"),
      dialog: close => <LabelsDialog kind="Volume" of={of} close={close} />,
    },
    {
      key: "delete",
      title: t("volumes.to_trash"),
      danger: true,
      dialog: close => <TrashDialog of={of} close={close} />,
    },
    purge,
    wipe,
  ]
  return <Doing deeds={deeds} name={of.name} />
}

function ResizeDialog({ of, close }: DialogProps) {
  const { t } = useTranslation()
  const fields: Field[] = [
    {
      name: "size",
      label: t("volumes.new_size"),
      kind: "size",
      required: true,
      help: t("volumes.grow_help"),
    },
  ]
  return (
    <AskDialog
      title={t("volumes.resize_title", { name: of.name, size: bytes(of.spec.size_bytes) })}
      verb={t("volumes.resize")}
      name={of.name}
      fields={fields}
      request={values => ({
        method: "POST",
        path: `/api/v1/volumes/${of.id}/resize`,
        body: bodyOf(fields, values),
        ifMatch: of.revision,
      })}
      command={values => command(["corral", "volume", "resize", of.name, values.size])}
      onClose={close}
    />
  )
}

function CloneDialog({ of, close }: DialogProps) {
  const { t } = useTranslation()
  const pools = useChoices("StoragePool", t("volumes.same_pool"))
  const fields: Field[] = [
    { name: "name", label: t("volumes.clone_name"), kind: "text", required: true },
    { name: "linked", label: t("volumes.linked"), kind: "check", help: t("volumes.linked_help") },
    { name: "size", label: t("col.size"), kind: "size", help: t("volumes.same_size") },
    { name: "pool", label: t("volumes.pool"), kind: "choice", choices: pools },
  ]
  return (
    <AskDialog
      title={t("volumes.clone_title", { name: of.name })}
      verb={t("volumes.clone")}
      name={of.name}
      fields={fields}
      request={values => ({
        method: "POST",
        path: `/api/v1/volumes/${of.id}/clone`,
        body: bodyOf(fields, values),
      })}
      command={values =>
        command(["corral", "volume", "clone", of.name, values.name], {
          linked: values.linked,
          size: values.size,
          pool: values.pool,
        })
      }
      onClose={close}
    />
  )
}

function MoveDialog({ of, close }: DialogProps) {
  const { t } = useTranslation()
  const here = useNames("StoragePool").get(of.spec.pool)
  const pools = useChoices("StoragePool", t("volumes.choose_pool")).filter(pool => pool.value !== here)
  const fields: Field[] = [
    { name: "pool", label: t("volumes.to_pool"), kind: "choice", choices: pools, required: true },
  ]
  return (
    <AskDialog
      title={t("volumes.move_title", { name: of.name })}
      verb={t("volumes.move")}
      name={of.name}
      fields={fields}
      request={values => ({
        method: "POST",
        path: `/api/v1/volumes/${of.id}/move`,
        body: bodyOf(fields, values),
      })}
      command={values => command(["corral", "volume", "move", of.name, values.pool])}
      onClose={close}
    >
      <p>{t("volumes.move_help")}</p>
    </AskDialog>
  )
}

function RestoreDialog({ of, close }: DialogProps) {
  const { t } = useTranslation()
  const fields: Field[] = [
    {
      name: "name",
      label: t("col.name"),
      kind: "text",
      initial: nameOf(of),
      help: t("volumes.restore_help"),
    },
  ]
  return (
    <AskDialog
      title={t("volumes.restore_title", { name: nameOf(of) })}
      verb={t("volumes.restore")}
      name={nameOf(of)}
      fields={fields}
      request={values => ({
        method: "POST",
        path: `/api/v1/volumes/${of.id}/restore`,
        body: bodyOf(fields, values),
      })}
      command={() => command(["corral", "volume", "trash", "restore", nameOf(of)])}
      onClose={close}
    />
  )
}

/** It can be had back: no name to type. */
function TrashDialog({ of, close }: DialogProps) {
  const { t } = useTranslation()
  const ask = useAsk()
  return (
    <Confirm
      title={t("resource.delete_title", { verb: t("volumes.to_trash"), name: of.name })}
      verb={t("volumes.to_trash")}
      onConfirm={() =>
        ask({
          verb: t("volumes.to_trash"),
          name: of.name,
          method: "DELETE",
          path: `/api/v1/volumes/${of.id}`,
          ifMatch: of.revision,
        })
      }
      onClose={close}
    >
      {t("volumes.trash_warning", { name: of.name })}
    </Confirm>
  )
}

function About({ of }: { of: Volume }) {
  const { t } = useTranslation()
  const pools = useNames("StoragePool")
  const { spec, status } = of
  const report = status?.report
  const going = status?.moving_to ? status.elsewhere?.[status.moving_to] : report
  const isGoing = status?.phase === "creating" || !!status?.moving_to
  return (
    <>
      <Trouble of={status?.trouble} />
      {spec.trash && (
        <Alert isInline variant="warning" title={t("volumes.in_trash", { when: ago(spec.trash.at) })}>
          {t("volumes.kept_until", { until: moment(spec.trash.until) })}
        </Alert>
      )}
      {isGoing && (
        <Progress
          title={status?.moving_to ? t("phase.moving") : t("phase.creating")}
          value={Math.round((going?.progress ?? 0) * 100)}
        />
      )}
      <Card>
        <CardBody>
          <Described
            pairs={[
              [t("col.size"), bytes(spec.size_bytes)],
              [t("volumes.taken"), bytes(report?.allocated_bytes)],
              [
                t("volumes.pool"),
                <ResourceLink
                  key="pool"
                  of={{ kind: "StoragePool", id: spec.pool, name: pools.get(spec.pool) }}
                />,
              ],
              [
                t("col.node"),
                status?.node ? <NamedLink key="node" kind="Node" id={status.node} /> : undefined,
              ],
              [t("volumes.vm"), spec.vm ? <NamedLink key="vm" kind="VM" id={spec.vm} /> : undefined],
              [
                t("volumes.image"),
                spec.image ? <NamedLink key="image" kind="Image" id={spec.image} /> : undefined,
              ],
              [
                t("volumes.copy_of"),
                spec.source ? <NamedLink key="source" kind="Volume" id={spec.source.volume} /> : undefined,
              ],
              [t("volumes.file"), report?.path ? <code key="path">{report.path}</code> : undefined],
              [t("col.labels"), <Labels key="labels" of={of.labels} />],
              [t("col.created"), moment(of.created_at)],
              [t("resource.id"), <code key="id">{of.id}</code>],
            ]}
          />
        </CardBody>
      </Card>
    </>
  )
}
