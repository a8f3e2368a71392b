/**
 * Join: how a host becomes a node, with the commands ready to copy.
 *
 * Always true    a token is made only when somebody presses the button; it is shown once and kept nowhere
 */
import { Alert, Button, Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { askQuietly } from "../../api/asks"
import { Problem, type Schemas } from "../../api/client"
import { placesOf, useCells } from "../../api/fleet"
import { moment } from "../../look/format"
import { Code, Equivalent } from "../../parts/code"
import { ResourceLink } from "../../parts/links"
import { Prose } from "../../parts/prose"
import { Trouble } from "../../parts/trouble"
import { useMay } from "../../session/session"

const INSTALL = `python3 -m venv /opt/corral
/opt/corral/bin/pip install --no-index --find-links dist 'corral[agent]'
ln -s /opt/corral/bin/corral /usr/local/bin/corral
cp /opt/corral/share/corral/systemd/*.service /etc/systemd/system/ && systemctl daemon-reload`
const TTL_S = 3600
const CALL = { method: "POST", path: "/api/v1/nodes/join-tokens", body: { ttl_s: TTL_S } } as const

export function JoinSteps() {
  const { t } = useTranslation()
  return (
    <ol className="join-steps">
      <li>
        <h2>{t("overview.first.install")}</h2>
        <p>
          <Prose text={t("overview.first.install_note")} />
        </p>
        <Code text={INSTALL} label="install" />
      </li>
      <li>
        <h2>{t("overview.first.join")}</h2>
        <p>{t("overview.first.join_note")}</p>
        <JoinToken />
      </li>
      <li>
        <h2>{t("overview.first.start")}</h2>
        <p>{t("overview.first.start_note")}</p>
        <Code text="systemctl enable --now corral-agent" label="start-agent" />
        <Joined />
      </li>
    </ol>
  )
}

function JoinToken() {
  const { t } = useTranslation()
  const may = useMay("admin")
  const [made, setMade] = useState<Schemas["NewJoinToken"] | null>(null)
  const [trouble, setTrouble] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)

  const make = async () => {
    setBusy(true)
    setTrouble(null)
    try {
      setMade(await askQuietly<Schemas["NewJoinToken"]>(CALL))
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setTrouble(error)
    } finally {
      setBusy(false)
    }
  }

  if (!may) return <Alert isInline isPlain variant="info" title={t("nodes.join.admins")} />
  return (
    <>
      <Trouble of={trouble} />
      {made && (
        <>
          <Code text={`corral agent join ${made.secret}`} label="join" />
          <p className="overview-quiet">
            {t("nodes.join.until", { time: moment(made.resource.created_at + TTL_S) })}
          </p>
        </>
      )}
      <Button variant={made ? "secondary" : "primary"} isLoading={busy} isDisabled={busy} onClick={make}>
        {made ? t("nodes.join.another") : t("nodes.join.make")}
      </Button>
      <Equivalent command="corral node join-token" call={CALL} />
    </>
  )
}

/** Nodes that have joined since this was opened. */
function Joined() {
  const { t } = useTranslation()
  const { data } = useCells()
  const [before, setBefore] = useState<ReadonlyMap<string, number> | null>(null)
  if (data && before === null) setBefore(placesOf(data.ids))
  const joined = data?.ids.filter(id => before && !before.has(id)) ?? []
  return (
    <p role="status">
      {joined.length === 0
        ? t("nodes.join.waiting")
        : joined.map(id => (
            <span key={id}>
              <ResourceLink of={{ kind: "Node", id, name: data?.names[data.ids.indexOf(id)] ?? id }} />{" "}
              {t("nodes.join.joined")}
            </span>
          ))}
    </p>
  )
}

export function JoinDialog({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation()
  return (
    <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="join-title">
      <ModalHeader title={t("nodes.join.title")} labelId="join-title" />
      <ModalBody>
        <JoinSteps />
      </ModalBody>
      <ModalFooter>
        <Button variant="secondary" onClick={onClose}>
          {t("action.close")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}
