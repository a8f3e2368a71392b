/** Stuck: VMs for which no way was found, and what is in the way of each. */
import { Button } from "@patternfly/react-core"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { getJson, type Schemas } from "../../api/client"
import { ResourceLink } from "../../parts/links"
import { Prose } from "../../parts/prose"
import { obstaclesOf } from "./obstacles"

const ASKED_FIRST = 10 // each is a question to the server

export function StuckVms({ vms }: { vms: Schemas["Ref"][] }) {
  const { t } = useTranslation()
  const [shown, setShown] = useState(ASKED_FIRST)
  return (
    <>
      <ul className="overview-list">
        {vms.slice(0, shown).map(vm => (
          <li key={vm.id}>
            <Why vm={vm} />
          </li>
        ))}
      </ul>
      {vms.length > shown && (
        <Button variant="link" isInline onClick={() => setShown(shown + 5 * ASKED_FIRST)}>
          {t("overview.more", { count: vms.length - shown })}
        </Button>
      )}
    </>
  )
}

function Why({ vm }: { vm: Schemas["Ref"] }) {
  const { t } = useTranslation()
  const { data, error } = useQuery({
    queryKey: ["preflight", vm.id],
    queryFn: ({ signal }) => getJson<Schemas["Preflight"]>(`/api/v1/vms/${vm.id}/preflight`, signal),
    gcTime: 0,
  })
  const found = data ? obstaclesOf(data) : []
  return (
    <>
      <ResourceLink of={data?.vm ?? vm} />: {error?.message}
      {data && found.length === 0 && t("nodes.drain.nowhere")}
      {found.map(({ message, hint }) => (
        <span key={message}>
          {message}. {hint && <Prose text={hint} />}{" "}
        </span>
      ))}
    </>
  )
}
