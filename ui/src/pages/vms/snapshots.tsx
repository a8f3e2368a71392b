/** Snapshots of a VM: a tree; take one, go back to one, delete one. */
import { Button, EmptyState, EmptyStateBody, Label } from "@patternfly/react-core"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { useLive } from "../../api/cache"
import { getJson, type Schemas } from "../../api/client"
import { listPath, type VM } from "../../api/kinds"
import { ago, moment } from "../../look/format"
import { quote } from "../../parts/code"
import { Confirm } from "../../parts/confirm"
import { bodyOf, type Field } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { useMay } from "../../session/session"
import { asTree } from "./tree"

type Open = { what: "take" } | { what: "revert" | "delete"; snapshot: Schemas["Snapshot"] } | null

export function Snapshots({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const may = useMay("operator")
  const [open, setOpen] = useState<Open>(null)
  useLive("Snapshot")
  const words = new URLSearchParams({ limit: "1000", filter: `spec.vm=${vm.id}` })
  const found = useQuery({
    queryKey: ["window", "Snapshot", "", `spec.vm=${vm.id}`, "", 0],
    queryFn: ({ signal }) =>
      getJson<{ items: Schemas["Snapshot"][]; total: number; revision: number }>(
        `${listPath("Snapshot")}?${words}`,
        signal,
      ),
  })
  const close = () => setOpen(null)
  const tree = asTree(found.data?.items ?? [])
  return (
    <>
      <Trouble of={found.error} />
      {may && (
        <div className="row">
          <Button onClick={() => setOpen({ what: "take" })}>{t("vms.do.snapshot")}</Button>
        </div>
      )}
      {tree.length === 0 ? (
        <EmptyState headingLevel="h2" titleText={t("vms.snapshots.none")}>
          <EmptyStateBody>{t("vms.snapshots.none_hint")}</EmptyStateBody>
        </EmptyState>
      ) : (
        <ul className="history">
          {tree.map(({ snapshot, depth }) => (
            <li key={snapshot.id} style={{ marginInlineStart: `${depth * 1.5}rem` }}>
              <time title={moment(snapshot.created_at)}>{ago(snapshot.created_at)}</time>
              <span className="row">
                <strong>
                  <bdi>{snapshot.name}</bdi>
                </strong>
                <Phase phase={snapshot.status?.phase} />
                {snapshot.spec.memory && <Label isCompact>{t("vms.snapshots.with_memory")}</Label>}
                {vm.spec.snapshot === snapshot.id && (
                  <Label isCompact color="blue">
                    {t("vms.snapshots.current")}
                  </Label>
                )}
                <span className="quiet">{snapshot.spec.description}</span>
                {may && (
                  <>
                    <Button size="sm" variant="link" onClick={() => setOpen({ what: "revert", snapshot })}>
                      {t("vms.do.revert")}
                    </Button>
                    <Button
                      size="sm"
                      variant="link"
                      isDanger
                      onClick={() => setOpen({ what: "delete", snapshot })}
                    >
                      {t("vms.do.delete")}
                    </Button>
                  </>
                )}
                {snapshot.status?.trouble && <span>{snapshot.status.trouble.message}</span>}
              </span>
            </li>
          ))}
        </ul>
      )}
      {open?.what === "take" && <Take vm={vm} onClose={close} />}
      {open?.what === "revert" && (
        <Confirm
          title={t("vms.do.revert")}
          verb={t("vms.do.revert")}
          name={vm.name}
          onConfirm={() =>
            ask({
              verb: t("vms.do.revert"),
              name: vm.name,
              method: "POST",
              path: `/api/v1/snapshots/${open.snapshot.id}/revert`,
            })
          }
          onClose={close}
        >
          <p>{t("vms.snapshots.revert_note", { name: vm.name, snapshot: open.snapshot.name })}</p>
        </Confirm>
      )}
      {open?.what === "delete" && (
        <Confirm
          title={t("vms.do.delete")}
          verb={t("vms.do.delete")}
          name={open.snapshot.name}
          onConfirm={() =>
            ask({
              verb: t("vms.do.delete"),
              name: open.snapshot.name,
              method: "DELETE",
              path: `/api/v1/snapshots/${open.snapshot.id}`,
            })
          }
          onClose={close}
        >
          <p>{t("vms.snapshots.delete_note", { snapshot: open.snapshot.name })}</p>
        </Confirm>
      )}
    </>
  )
}

function Take({ vm, onClose }: { vm: VM; onClose: () => void }) {
  const { t } = useTranslation()
  const running = vm.status?.phase === "running"
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, initial: "before" },
    { name: "description", label: t("vms.snapshots.description"), kind: "text" },
    ...(running
      ? ([
          { name: "memory", label: t("vms.snapshots.memory"), kind: "check" },
          { name: "freeze", label: t("vms.snapshots.freeze"), kind: "check" },
        ] as Field[])
      : []),
  ]
  return (
    <AskDialog
      title={t("vms.do.snapshot")}
      verb={t("vms.do.snapshot")}
      name={vm.name}
      fields={fields}
      request={v => ({ method: "POST", path: `/api/v1/vms/${vm.id}/snapshots`, body: bodyOf(fields, v) })}
      command={v =>
        `corral snapshot create ${quote(vm.name)} ${quote(String(v.name))}${v.memory ? " --memory" : ""}`
      }
      onClose={onClose}
    />
  )
}
