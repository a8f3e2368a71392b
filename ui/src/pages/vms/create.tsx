/** Create a VM: a form with defaults that suit most, checked by the server while it is filled in. */
import {
  Button,
  Card,
  CardBody,
  CardTitle,
  ExpandableSection,
  Form,
  HelperText,
  HelperTextItem,
} from "@patternfly/react-core"
import { useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { askQuietly, useAsks } from "../../api/asks"
import { useAll } from "../../api/cache"
import { Problem } from "../../api/client"
import { Equivalent } from "../../parts/code"
import type { Choice, Field } from "../../parts/fields"
import { troubleAt } from "../../parts/fields"
import { Fields, useTried, useValues } from "../../parts/form"
import { Page } from "../../parts/page"
import { Trouble } from "../../parts/trouble"
import { commandOf, requestOf } from "./new"
import { suggestName } from "./suggest"

const PATH = "/api/v1/vms"
const GROUPS = ["basics", "size", "disk", "network", "first_boot"] as const

export default function CreateVm() {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const { tell } = useAsks()
  const groups = useGroups()
  const fields = useMemo(() => Object.values(groups).flat(), [groups])
  const { values, touched, change } = useValues(fields)
  const [more, setMore] = useState(false)
  const [refused, setRefused] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const body = requestOf(fields, values)
  const request = { method: "POST" as const, path: PATH, body }
  const tried = useTried(values.name ? request : null)
  const problem = refused ?? tried.problem
  const at = troubleAt(fields, problem)

  const create = async () => {
    setBusy(true)
    setRefused(null)
    try {
      const operation = await askQuietly(request)
      tell({ verb: t("vms.create"), name: String(values.name), operation: operation.id })
      const id = operation.spec?.target?.id
      go(id ? `/${id}` : "/")
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setRefused(error)
    } finally {
      setBusy(false)
    }
  }
  const part = (key: keyof typeof groups) => (
    <Fields
      fields={groups[key]}
      values={values}
      touched={refused ? undefined : touched}
      problem={problem}
      onChange={(name, value) => {
        setRefused(null)
        change(name, value)
      }}
    />
  )

  return (
    <Page title={t("vms.new.title")} above={[[t("vms.title"), "/"]]}>
      <Form
        onSubmit={event => {
          event.preventDefault()
          void create()
        }}
      >
        <div className="wide-cards">
          {GROUPS.map(key => (
            <Card key={key}>
              <CardTitle>{t(`vms.new.${key}`)}</CardTitle>
              <CardBody className="page-part">{part(key)}</CardBody>
            </Card>
          ))}
          <Card>
            <CardBody>
              <ExpandableSection
                toggleText={t("vms.new.more")}
                isExpanded={more}
                onToggle={(_, open) => setMore(open)}
              >
                <div className="page-part">{part("more")}</div>
              </ExpandableSection>
            </CardBody>
          </Card>
        </div>
        {problem && (!at || refused) && <Trouble of={problem} />}
        <Equivalent command={commandOf(values)} call={request} />
        <div className="row create-bar">
          <Button type="submit" isDisabled={busy || !values.name} isLoading={busy}>
            {t("action.create")}
          </Button>
          <Button variant="link" onClick={() => go("/")}>
            {t("action.cancel")}
          </Button>
          <HelperText aria-live="polite">
            {values.name && !problem && (
              <HelperTextItem variant={tried.trying ? "default" : "success"}>
                {tried.trying ? t("vms.new.checking") : t("vms.new.checked")}
              </HelperTextItem>
            )}
          </HelperText>
        </div>
      </Form>
    </Page>
  )
}

/** The form's fields by group, with what the fleet has to choose from. */
function useGroups(): Record<(typeof GROUPS)[number] | "more", Field[]> {
  const { t } = useTranslation()
  const images = useAll("Image").data?.items
  const pools = useAll("StoragePool").data?.items
  const networks = useAll("Network").data?.items
  const profiles = useAll("VMProfile").data?.items
  const policies = useAll("SchedulingPolicy").data?.items
  const placementGroups = useAll("PlacementGroup").data?.items
  const [name] = useState(() => suggestName(Math.random))
  return useMemo(() => {
    const named = (all: { name: string }[] | undefined, none: string): Choice[] => [
      { value: "", label: none },
      ...(all ?? []).map(each => ({ value: each.name, label: each.name })),
    ]
    const words = (...all: string[]): Choice[] => [
      { value: "", label: t("vms.new.default") },
      ...all.map(word => ({ value: word, label: word })),
    ]
    return {
      basics: [
        {
          name: "name",
          label: t("col.name"),
          kind: "text",
          required: true,
          initial: name,
          help: t("vms.new.name_help"),
        },
        {
          name: "profile",
          label: t("vms.new.profile"),
          kind: "choice",
          choices: named(profiles, t("vms.new.no_profile")),
        },
        {
          name: "hardware.guest",
          label: t("vms.new.guest"),
          kind: "choice",
          choices: [
            { value: "", label: t("vms.new.linux") },
            { value: "windows", label: t("vms.new.windows") },
          ],
        },
        { name: "running", label: t("vms.new.running"), kind: "check", initial: true },
      ],
      size: [
        { name: "cpus", label: t("col.cpus"), kind: "number", initial: "2" },
        {
          name: "memory",
          label: t("col.memory"),
          kind: "size",
          initial: "2GiB",
          help: t("vms.new.memory_help"),
        },
      ],
      disk: [
        {
          name: "image",
          label: t("vms.new.image"),
          kind: "choice",
          choices: named(images, t("vms.new.no_image")),
        },
        {
          name: "size",
          label: t("vms.new.disk_size"),
          kind: "size",
          initial: "20GiB",
          help: t("vms.new.disk_help"),
        },
        {
          name: "pool",
          label: t("vms.new.pool"),
          kind: "choice",
          choices: named(pools, t("vms.hardware.any_pool")),
        },
      ],
      network: [
        {
          name: "network",
          label: t("vms.hardware.network"),
          kind: "choice",
          choices: named(networks, t("vms.new.no_network")),
        },
      ],
      first_boot: [
        { name: "user_data", label: t("vms.new.user_data"), kind: "area", help: t("vms.new.user_data_help") },
      ],
      more: [
        { name: "labels", label: t("col.labels"), kind: "labels", help: "env=prod, team=web" },
        {
          name: "hardware.firmware",
          label: t("vms.new.firmware"),
          kind: "choice",
          choices: words("bios", "uefi", "uefi-secure"),
        },
        { name: "hardware.tpm", label: t("vms.new.tpm"), kind: "check" },
        {
          name: "hardware.graphics",
          label: t("vms.new.graphics"),
          kind: "choice",
          choices: words("vnc", "spice", "none"),
        },
        {
          name: "policy",
          label: t("vms.new.policy"),
          kind: "choice",
          choices: [
            ...named([], t("vms.new.default_policy")),
            ...["balance", "pack", "spread", "power"].map(p => ({ value: p, label: p })),
            ...(policies ?? []).map(p => ({ value: p.name, label: p.name })),
          ],
        },
        {
          name: "groups",
          label: t("vms.new.group"),
          kind: "choice",
          choices: named(placementGroups, t("vms.new.no_group")),
        },
        { name: "node", label: t("vms.new.node"), kind: "text", help: t("vms.new.any_node") },
        { name: "protected", label: t("vms.new.protected"), kind: "check" },
      ],
    }
  }, [t, images, pools, networks, profiles, policies, placementGroups, name])
}
