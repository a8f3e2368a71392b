/** Why not: VMs for which no way was found, and on demand what speaks against each. */
import { Alert, Button } from "@patternfly/react-core"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { type Schemas, send } from "../../api/client"
import { ResourceLink } from "../../parts/links"
import { NamedLink } from "../../parts/named-link"
import { Trouble } from "../../parts/trouble"

type Ref = { kind: string; id: string; name?: string }

export function WhyNot({ vms }: { vms: Ref[] }) {
  const { t } = useTranslation()
  if (vms.length === 0) return null
  return (
    <Alert isInline variant="warning" title={t("rebalance.behind", { count: vms.length })}>
      <ul className="rebalance-behind">
        {vms.map(vm => (
          <Behind key={vm.id} vm={vm} />
        ))}
      </ul>
    </Alert>
  )
}

function Behind({ vm }: { vm: Ref }) {
  const { t } = useTranslation()
  const [asked, setAsked] = useState(false)
  const found = useQuery({
    queryKey: ["preflight", vm.id],
    queryFn: () => send<Schemas["Preflight"]>("POST", `/api/v1/vms/${vm.id}/preflight`, {}),
    enabled: asked,
  })
  return (
    <li>
      {vm.name ? <ResourceLink of={vm} /> : <NamedLink kind="VM" id={vm.id} />}{" "}
      {!asked && (
        <Button variant="link" isInline onClick={() => setAsked(true)}>
          {t("rebalance.why")}
        </Button>
      )}
      <Trouble of={found.error} />
      {found.data && <Reasons of={found.data} />}
    </li>
  )
}

function Reasons({ of }: { of: Schemas["Preflight"] }) {
  const { t } = useTranslation()
  const reasons = [
    ...new Set(
      (of.nodes ?? []).flatMap(node => (node.obstacles ?? []).map(o => `${o.message} ${o.hint ?? ""}`)),
    ),
  ]
  if (reasons.length === 0) return <p>{t("rebalance.no_reason")}</p>
  return (
    <ul>
      {reasons.slice(0, 10).map(reason => (
        <li key={reason}>{reason}</li>
      ))}
    </ul>
  )
}
