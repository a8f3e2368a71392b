/** One VM: what it is, what can be done, and its parts each under an address of its own. */
import { Alert, Bullseye, Spinner } from "@patternfly/react-core"
import { lazy } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "wouter"
import { useOne } from "../../api/cache"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { type PagePart, PageTabs } from "../../parts/tabs"
import { Gone, Trouble } from "../../parts/trouble"
import { YamlEditor } from "../../parts/yaml-editor"
import { useMay } from "../../session/session"
import { Actions } from "./actions"
import { Hardware } from "./hardware"
import { History } from "./history"
import { Overview } from "./overview"
import { countOfPending, PendingAndDrift } from "./pending"
import { Placement } from "./placement"
import { Snapshots } from "./snapshots"
import { Underway } from "./underway"

const Consoles = lazy(() => import("./console"))

export default function VmDetail({ id, part }: { id: string; part: string }) {
  const { t } = useTranslation()
  const found = useOne("VM", id)
  const may = useMay("operator")
  const vm = found.data
  const above: [string, string][] = [[t("vms.title"), "/"]]

  if (found.error && !vm) {
    const missing = "code" in found.error && found.error.code === "resource.not_found"
    return (
      <Page title={id} above={above}>
        {missing ? <GoneVm name={id} /> : <Trouble of={found.error} onRetry={() => void found.refetch()} />}
      </Page>
    )
  }
  if (!vm)
    return (
      <Bullseye>
        <Spinner aria-label={t("state.loading")} />
      </Bullseye>
    )
  if (found.error && "code" in found.error && found.error.code === "resource.not_found")
    return (
      <Page title={vm.name} above={above}>
        <GoneVm name={vm.name} />
      </Page>
    )

  const parts: PagePart[] = [
    { key: "overview", title: t("vms.tabs.overview"), body: () => <Overview vm={vm} /> },
    { key: "hardware", title: t("vms.tabs.hardware"), body: () => <Hardware vm={vm} /> },
    ...(may ? [{ key: "console", title: t("vms.tabs.console"), body: () => <Consoles vm={vm} /> }] : []),
    { key: "placement", title: t("vms.tabs.placement"), body: () => <Placement vm={vm} /> },
    { key: "snapshots", title: t("vms.tabs.snapshots"), body: () => <Snapshots vm={vm} /> },
    {
      key: "pending",
      title: t("vms.tabs.pending"),
      count: countOfPending(vm),
      body: () => <PendingAndDrift vm={vm} />,
    },
    { key: "history", title: t("vms.tabs.history"), body: () => <History of={vm} /> },
    {
      key: "yaml",
      title: t("yaml.title"),
      body: () => <YamlEditor kind="VM" id={vm.id} name={vm.name} revision={vm.revision} />,
    },
  ]
  const trouble = vm.status?.trouble
  return (
    <Page
      title={vm.name}
      above={above}
      aside={<Phase phase={vm.status?.phase} />}
      actions={may && <Actions vm={vm} />}
    >
      {trouble && (
        <Alert isInline variant="warning" title={trouble.message}>
          {trouble.hint}
        </Alert>
      )}
      <Underway vm={vm.id} />
      <PageTabs base={`/${id}`} active={part} parts={parts} label={t("vms.tabs.label", { name: vm.name })} />
    </Page>
  )
}

/** Nothing to see here any more; the others are next door. */
function GoneVm({ name }: { name: string }) {
  const { t } = useTranslation()
  return (
    <>
      <Gone name={name} />
      <Bullseye>
        <Link href="/">{t("vms.show_all")}</Link>
      </Bullseye>
    </>
  )
}
