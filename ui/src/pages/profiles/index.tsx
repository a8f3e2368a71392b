/** Profiles: what VMs of a kind have in common, under a name. */
import { Card, CardBody } from "@patternfly/react-core"
import type { TFunction } from "i18next"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { stringify } from "yaml"
import { bytes, moment } from "../../look/format"
import { Code } from "../../parts/code"
import { command } from "../../parts/command"
import { Described, Labels } from "../../parts/described"
import { begunWith, edited } from "../../parts/edited"
import type { Field, Values } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { NounList } from "../../parts/noun-list"
import { NounPages } from "../../parts/noun-pages"
import { EditedDoing } from "../../parts/resource-asks"
import type { RowOf } from "../../parts/resource-list"
import { ResourcePage } from "../../parts/resource-page"
import type { Column } from "../../parts/virtual-table"

type Profile = RowOf<"VMProfile">

export default function Profiles() {
  return <NounPages List={ProfileList} One={OneProfile} />
}

function memoryText(memory: number | string | null | undefined): string {
  return typeof memory === "number" ? bytes(memory) : memory || "–"
}

function ProfileList() {
  const { t } = useTranslation()
  const columns = useMemo<Column<Profile>[]>(
    () => [
      {
        key: "summary",
        title: t("resource.summary"),
        width: "minmax(10rem, 4fr)",
        cell: of => <bdi title={of.spec.summary}>{of.spec.summary || "–"}</bdi>,
      },
      { key: "cpus", title: t("col.cpus"), width: "5rem", align: "end", cell: of => of.spec.cpus ?? "–" },
      {
        key: "memory",
        title: t("col.memory"),
        width: "6rem",
        align: "end",
        cell: of => memoryText(of.spec.memory),
      },
      {
        key: "guest",
        title: t("profiles.guest"),
        width: "7rem",
        cell: of => of.spec.hardware?.guest ?? "–",
      },
    ],
    [t],
  )
  return (
    <NounList
      kind="VMProfile"
      title={t("profiles.title")}
      create={t("profiles.create")}
      columns={columns}
      empty={t("profiles.empty")}
      dialog={close => <ProfileDialog close={close} />}
    />
  )
}

function specFields(t: TFunction): Field[] {
  const open = { value: "", label: t("profiles.open") }
  const choices = (...values: string[]) => [open, ...values.map(value => ({ value, label: value }))]
  return [
    { name: "summary", label: t("resource.summary"), kind: "text", help: t("resource.summary_help") },
    { name: "cpus", label: t("col.cpus"), kind: "number" },
    { name: "memory", label: t("col.memory"), kind: "size", help: t("profiles.memory_help") },
    {
      name: "hardware.guest",
      label: t("profiles.guest"),
      kind: "choice",
      choices: choices("linux", "windows"),
    },
    {
      name: "hardware.firmware",
      label: t("profiles.firmware"),
      kind: "choice",
      choices: choices("bios", "uefi", "uefi-secure"),
    },
    {
      name: "restart",
      label: t("profiles.restart"),
      kind: "choice",
      choices: choices("never", "on-failure", "always"),
    },
    {
      name: "stop_timeout_s",
      label: t("profiles.stop_timeout"),
      kind: "number",
      help: t("profiles.seconds"),
    },
  ]
}

function ProfileDialog({ of, close }: { of?: Profile; close: () => void }) {
  const { t } = useTranslation()
  const fields = useMemo(() => begunWith(specFields(t), of?.spec ?? {}), [t, of])
  const name: Field[] = of
    ? []
    : [{ name: "name", label: t("col.name"), kind: "text", required: true, help: t("resource.name_help") }]
  const spec = (values: Values) => edited(fields, values, of?.spec ?? {})
  return (
    <AskDialog
      title={of ? t("resource.edit_title", { name: of.name }) : t("profiles.create")}
      verb={of ? t("action.edit") : t("action.create")}
      name={of?.name ?? ""}
      fields={[...name, ...fields]}
      request={values =>
        of
          ? {
              method: "PATCH",
              path: `/api/v1/profiles/${of.id}`,
              body: { spec: spec(values) },
              ifMatch: of.revision,
            }
          : {
              method: "POST",
              path: "/api/v1/profiles",
              body: { name: String(values.name ?? ""), spec: spec(values) },
            }
      }
      command={values =>
        command(["corral", "profile", of ? "set" : "create", of?.name ?? values.name], {
          summary: values.summary,
          cpus: values.cpus,
          memory: values.memory,
          guest: values["hardware.guest"],
          firmware: values["hardware.firmware"],
          restart: values.restart,
          "stop-timeout": values.stop_timeout_s ? `${values.stop_timeout_s}s` : "",
        })
      }
      onClose={close}
    >
      <p>{t("profiles.more_in_yaml")}</p>
    </AskDialog>
  )
}

function OneProfile() {
  const { t } = useTranslation()
  return (
    <ResourcePage
      kind="VMProfile"
      above={[t("profiles.title"), "/"]}
      actions={of => <Actions of={of} />}
      yaml
      parts={of => [{ key: "about", title: t("resource.about"), body: () => <About of={of} /> }]}
    />
  )
}

function Actions({ of }: { of: Profile }) {
  const { t } = useTranslation()
  return (
    <EditedDoing
      kind="VMProfile"
      of={of}
      warning={t("profiles.delete_warning", { name: of.name })}
      edit={close => <ProfileDialog of={of} close={close} />}
    />
  )
}

function About({ of }: { of: Profile }) {
  const { t } = useTranslation()
  return (
    <Card>
      <CardBody>
        <Described
          pairs={[
            [t("resource.summary"), of.spec.summary || "–"],
            [t("col.cpus"), of.spec.cpus ?? t("profiles.open")],
            [t("col.memory"), of.spec.memory ? memoryText(of.spec.memory) : t("profiles.open")],
            [t("profiles.all"), <Code key="all" text={stringify(of.spec)} label={of.name} />],
            [t("col.labels"), <Labels key="labels" of={of.labels} />],
            [t("col.created"), moment(of.created_at)],
            [t("resource.id"), <code key="id">{of.id}</code>],
          ]}
        />
      </CardBody>
    </Card>
  )
}
