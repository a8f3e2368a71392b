/**
 * YAML editor: a resource as its manifest; what an edit would change is shown before it is applied.
 *
 * In this room   read, edit, compare, apply; and what happens when somebody else was quicker
 * Comes in       GET /manifests/KIND/NAME; POST /apply, first as a dry run
 * Always true    nothing is applied that was not shown; an edit of an older version is shown against the newer one
 */
import { Alert, Button, Modal, ModalBody, ModalFooter, ModalHeader, Spinner } from "@patternfly/react-core"
import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { parse, stringify } from "yaml"
import { useAsks } from "../api/asks"
import { getJson, Problem, type Schemas, send } from "../api/client"
import { DiffView } from "./diff-view"
import { Trouble } from "./trouble"
import "./diff.css"

type Props = { kind: string; id: string; name: string; revision: number | undefined }
type Compared = { text: string; applied: Schemas["Applied"] }

export function YamlEditor({ kind, id, name, revision }: Props) {
  const { t } = useTranslation()
  const { tell } = useAsks()
  const manifest = useQuery({
    queryKey: ["manifest", kind, id, revision],
    queryFn: ({ signal }) => getJson<object>(`/api/v1/manifests/${kind}/${encodeURIComponent(id)}`, signal),
    placeholderData: before => before,
  })
  const [edited, setEdited] = useState<{ text: string; from: string } | null>(null)
  const [compared, setCompared] = useState<Compared | null>(null)
  const [trouble, setTrouble] = useState<Error | null>(null)
  const [busy, setBusy] = useState(false)

  if (manifest.error) return <Trouble of={manifest.error} onRetry={() => void manifest.refetch()} />
  if (!manifest.data) return <Spinner aria-label={t("state.loading")} />
  const now = stringify(manifest.data)
  const changedMeanwhile = edited !== null && edited.from !== now

  const compare = async () => {
    if (!edited) return
    setTrouble(null)
    setBusy(true)
    try {
      const document = parse(edited.text) as object
      const answer = await send<Schemas["AppliedAll"]>("POST", "/api/v1/apply?dry_run=true", {
        documents: [document],
      })
      const [applied] = answer.results
      if (applied) setCompared({ text: edited.text, applied })
    } catch (error) {
      setTrouble(error as Error)
    } finally {
      setBusy(false)
    }
  }

  const apply = async () => {
    if (!compared) return
    setBusy(true)
    try {
      const answer = await send<Schemas["AppliedAll"]>("POST", "/api/v1/apply", {
        documents: [parse(compared.text)],
      })
      const [applied] = answer.results
      if (applied?.trouble) return setTrouble(new Error(applied.trouble.message))
      tell({
        verb: t("yaml.apply"),
        name,
        operation: applied?.operations?.[0] ?? "",
        done: !applied?.operations?.[0],
      })
      setEdited(null)
      setCompared(null)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setTrouble(error)
    } finally {
      setBusy(false)
    }
  }

  return (
    <div className="page-part">
      <Trouble of={trouble} />
      {changedMeanwhile && (
        <Alert
          isInline
          variant="warning"
          title={t("ask.changed_meanwhile")}
          actionLinks={
            <>
              <Button variant="link" isInline onClick={() => setEdited({ text: edited.text, from: now })}>
                {t("ask.keep_yours")}
              </Button>
              <Button variant="link" isInline onClick={() => setEdited(null)}>
                {t("ask.take_theirs")}
              </Button>
            </>
          }
        >
          <p>{t("ask.changed_meanwhile_body", { name })}</p>
          <DiffView before={now} after={edited.text} label={t("ask.changed_meanwhile")} />
        </Alert>
      )}
      <textarea
        className="yaml"
        spellCheck={false}
        aria-label={t("yaml.label", { name })}
        value={edited?.text ?? now}
        rows={Math.min(40, now.split("\n").length + 2)}
        onChange={event => setEdited({ text: event.target.value, from: edited?.from ?? now })}
      />
      <div className="row">
        <Button isDisabled={!edited || busy || changedMeanwhile} isLoading={busy} onClick={compare}>
          {t("yaml.compare")}
        </Button>
        <Button variant="link" isDisabled={!edited} onClick={() => setEdited(null)}>
          {t("yaml.drop")}
        </Button>
      </div>
      {compared && (
        <Modal isOpen variant="medium" onClose={() => setCompared(null)} aria-labelledby="yaml-title">
          <ModalHeader title={t("yaml.would_change", { name })} labelId="yaml-title" />
          <ModalBody>
            {compared.applied.trouble && (
              <Trouble
                of={{ message: compared.applied.trouble.message, hint: compared.applied.trouble.hint }}
              />
            )}
            <DiffView before={now} after={compared.text} label={t("yaml.would_change", { name })} />
          </ModalBody>
          <ModalFooter>
            <Button
              isDisabled={busy || !!compared.applied.trouble || changedMeanwhile}
              isLoading={busy}
              onClick={apply}
            >
              {t("yaml.apply")}
            </Button>
            <Button variant="link" onClick={() => setCompared(null)}>
              {t("action.cancel")}
            </Button>
          </ModalFooter>
        </Modal>
      )}
    </div>
  )
}
