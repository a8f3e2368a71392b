/**
 * Edit: what of a node VMs may have, where it stands, its labels.
 *
 * Always true    checked by the server while one types (a dry run); sent with If-Match, so that what somebody else
 *                changed meanwhile is never overwritten unseen: it is shown as a difference
 * Next door      fields.ts turns a node into fields and back, purely
 */
import {
  Alert,
  Button,
  Form,
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextArea,
  TextInput,
} from "@patternfly/react-core"
import { useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import { askQuietly, dryRun, useAsks } from "../../api/asks"
import { Problem } from "../../api/client"
import type { Node } from "../../api/kinds"
import { Equivalent } from "../../parts/code"
import { DiffView } from "../../parts/diff-view"
import { Trouble } from "../../parts/trouble"
import { badLabel, bodyOf, commandOf, type Fields, fieldsOf, linesOf } from "./fields"

const SETTLE_MS = 300
const NAMES = [
  "rack",
  "cpu_overcommit",
  "memory_overcommit",
  "reserve_cpus",
  "reserve_memory",
  "dedicated_cpus",
] as const

export function EditNode({ node, onClose }: { node: Node; onClose: () => void }) {
  const { t } = useTranslation()
  const { tell } = useAsks()
  const now = fieldsOf(node)
  const [base, setBase] = useState(now)
  const [fields, setFields] = useState(now)
  const [trouble, setTrouble] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const verb = t("nodes.verb.edit")
  const path = `/api/v1/nodes/${node.id}`
  const body = bodyOf(base, fields)
  const same = Object.keys(body).length === 0
  const bad = badLabel(fields.labels)
  const changedMeanwhile = linesOf(base) !== linesOf(now)
  const refused = useCheck(path, same || bad !== "" ? "" : JSON.stringify(body))

  const set = (name: keyof Fields) => (_: unknown, value: string) => {
    setTrouble(null)
    setFields({ ...fields, [name]: value })
  }
  const save = async () => {
    setBusy(true)
    try {
      const operation = await askQuietly({ method: "PATCH", path, body, ifMatch: node.revision })
      tell({ verb, name: node.name, operation: operation.id })
      onClose()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setTrouble(error)
      setBusy(false)
    }
  }

  return (
    <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="edit-title">
      <ModalHeader title={t("nodes.edit.title", { name: node.name })} labelId="edit-title" />
      <ModalBody>
        <div className="page-part">
          {changedMeanwhile && (
            <Alert
              isInline
              variant="warning"
              title={t("ask.changed_meanwhile")}
              actionLinks={
                <>
                  <Button variant="link" isInline onClick={() => setBase(now)}>
                    {t("ask.keep_yours")}
                  </Button>
                  <Button
                    variant="link"
                    isInline
                    onClick={() => {
                      setBase(now)
                      setFields(now)
                    }}
                  >
                    {t("ask.take_theirs")}
                  </Button>
                </>
              }
            >
              <p>{t("ask.changed_meanwhile_body", { name: node.name })}</p>
              <DiffView before={linesOf(now)} after={linesOf(fields)} label={t("ask.changed_meanwhile")} />
            </Alert>
          )}
          <Form
            id="edit-node"
            onSubmit={event => {
              event.preventDefault()
              void save()
            }}
          >
            {NAMES.map(name => (
              <FormGroup key={name} label={t(`nodes.field.${name}`)} fieldId={`edit-${name}`}>
                <TextInput id={`edit-${name}`} value={fields[name]} onChange={set(name)} dir="auto" />
                <Help text={name === "reserve_memory" ? t("nodes.edit.size_help") : ""} />
                <Help text={name === "dedicated_cpus" ? t("nodes.edit.cpus_help") : ""} />
              </FormGroup>
            ))}
            <FormGroup label={t("nodes.field.labels")} fieldId="edit-labels">
              <TextArea
                id="edit-labels"
                value={fields.labels}
                onChange={set("labels")}
                rows={4}
                resizeOrientation="vertical"
                validated={bad ? "error" : "default"}
                dir="auto"
              />
              <Help
                text={bad ? t("nodes.edit.label_bad", { line: bad }) : t("nodes.edit.labels_help")}
                isError={bad !== ""}
              />
            </FormGroup>
          </Form>
          <Trouble of={trouble ?? refused} />
          <Equivalent
            command={commandOf(node.name, base, fields)}
            call={{ method: "PATCH", path: `/api/v1/nodes/${node.name}`, body }}
          />
        </div>
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form="edit-node"
          isLoading={busy}
          isDisabled={busy || same || bad !== "" || refused !== null || changedMeanwhile}
        >
          {t("action.save")}
        </Button>
        <Button variant="link" onClick={onClose}>
          {t("action.cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}

function Help({ text, isError = false }: { text: string; isError?: boolean }) {
  if (!text) return null
  return (
    <FormHelperText>
      <HelperText>
        <HelperTextItem variant={isError ? "error" : "default"}>{text}</HelperTextItem>
      </HelperText>
    </FormHelperText>
  )
}

/** What the server would have against it; null: nothing. `body`: JSON, "" for nothing to ask. */
function useCheck(path: string, body: string): Problem | null {
  const [refused, setRefused] = useState<Problem | null>(null)
  useEffect(() => {
    setRefused(null)
    if (!body) return
    let over = false
    const timer = setTimeout(() => {
      dryRun({ method: "PATCH", path, body: JSON.parse(body) }).catch((error: unknown) => {
        if (!over && error instanceof Problem) setRefused(error)
      })
    }, SETTLE_MS)
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [path, body])
  return refused
}
