/** Remove: a node leaves for good, after its name was typed. */
import { Alert, Checkbox } from "@patternfly/react-core"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useAsk } from "../../api/asks"
import { useWindow } from "../../api/cache"
import type { Node } from "../../api/kinds"
import { Confirm } from "../../parts/confirm"

export function RemoveNode({ node, onClose }: { node: Node; onClose: () => void }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [, go] = useLocation()
  const [force, setForce] = useState(false)
  const vms = useWindow("VM", { filter: `status.node=${node.id}` }, 0, 0).total

  const remove = async () => {
    const operation = await ask({
      verb: t("nodes.verb.remove"),
      name: node.name,
      method: "DELETE",
      path: `/api/v1/nodes/${node.id}${force ? "?force=true" : ""}`,
    })
    if (operation) go("/")
  }

  return (
    <Confirm
      title={t("nodes.remove.title", { name: node.name })}
      verb={t("nodes.verb.remove")}
      name={node.name}
      onConfirm={remove}
      onClose={onClose}
    >
      <div className="page-part">
        <p>{t("nodes.remove.body")}</p>
        {vms > 0 && (
          <>
            <Alert isInline variant="warning" title={t("nodes.remove.has_vms", { count: vms })} />
            <Checkbox
              id="remove-force"
              label={t("nodes.remove.force")}
              isChecked={force}
              onChange={(_, checked) => setForce(checked)}
            />
          </>
        )}
      </div>
    </Confirm>
  )
}
