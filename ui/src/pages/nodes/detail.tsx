/** A node by itself: what it is, what runs on it, what can be done with it. */
import { Button, Spinner } from "@patternfly/react-core"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useAsk } from "../../api/asks"
import { useOne, useWindow } from "../../api/cache"
import { Problem } from "../../api/client"
import type { Node } from "../../api/kinds"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { PageTabs } from "../../parts/tabs"
import { Gone, Trouble } from "../../parts/trouble"
import { useMay } from "../../session/session"
import { Recent } from "../overview/recent"
import "../overview/overview.css"
import { NodeCharts } from "./charts"
import { EditNode } from "./edit"
import { FoundDomains } from "./found"
import { Inventory } from "./inventory"
import { NumaPicture } from "./numa"
import { RemoveNode } from "./remove"
import { VmsOnNode } from "./vms-on-node"

export function NodeDetail({ id, part }: { id: string; part: string }) {
  const { t } = useTranslation()
  const { data: node, error, refetch } = useOne("Node", id)
  const found = useWindow("FoundDomain", { filter: `spec.node=${id}` }, 0, 0)
  if (error instanceof Problem && error.details.status === 404) return <Gone name={node?.name ?? id} />
  if (error) return <Trouble of={error} onRetry={() => void refetch()} />
  if (!node) return <Spinner aria-label={t("state.loading")} />
  if (node.deleted_at) return <Gone name={node.name} />
  return (
    <Page
      title={node.name}
      above={[[t("nodes.title"), "/"]]}
      aside={<Phase phase={node.status.phase} />}
      actions={<Actions node={node} />}
    >
      {node.status.trouble && <Trouble of={node.status.trouble} />}
      <PageTabs
        label={t("nodes.tab.label")}
        base={`/${id}`}
        active={part}
        parts={[
          { key: "summary", title: t("nodes.tab.summary"), body: () => <Inventory node={node} /> },
          { key: "vms", title: t("nodes.tab.vms"), body: () => <VmsOnNode id={node.id} /> },
          { key: "numa", title: t("nodes.tab.numa"), body: () => <NumaPicture node={node} /> },
          { key: "charts", title: t("nodes.tab.charts"), body: () => <NodeCharts id={node.id} /> },
          { key: "events", title: t("nodes.tab.events"), body: () => <Recent about={node.id} most={50} /> },
          {
            key: "found",
            title: t("nodes.tab.found"),
            count: found.total,
            body: () => <FoundDomains id={node.id} />,
          },
        ]}
      />
    </Page>
  )
}

function Actions({ node }: { node: Node }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [, go] = useLocation()
  const [open, setOpen] = useState<"" | "edit" | "remove">("")
  const [busy, setBusy] = useState(false)
  const operator = useMay("operator")
  const admin = useMay("admin")
  const { cordoned } = node.spec
  const verb = cordoned ? t("nodes.verb.uncordon") : t("nodes.verb.cordon")

  const cordon = async () => {
    setBusy(true)
    await ask({
      verb,
      name: node.name,
      method: "PATCH",
      path: `/api/v1/nodes/${node.id}`,
      body: { cordoned: !cordoned },
    })
    setBusy(false)
  }

  if (!operator) return null
  return (
    <>
      <Button variant="secondary" isDisabled={busy} onClick={cordon}>
        {verb}
      </Button>
      <Button variant="secondary" onClick={() => go(`/${node.id}/drain`)}>
        {t("nodes.verb.drain")} …
      </Button>
      <Button variant="secondary" onClick={() => setOpen("edit")}>
        {t("nodes.verb.edit")} …
      </Button>
      {admin && (
        <Button variant="danger" onClick={() => setOpen("remove")}>
          {t("nodes.verb.remove")} …
        </Button>
      )}
      {open === "edit" && <EditNode node={node} onClose={() => setOpen("")} />}
      {open === "remove" && <RemoveNode node={node} onClose={() => setOpen("")} />}
    </>
  )
}
