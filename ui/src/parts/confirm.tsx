/** Confirm: a question before something that can't be undone; it names what it destroys, and has the name typed. */
import {
  Button,
  Form,
  FormGroup,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextInput,
} from "@patternfly/react-core"
import { type ReactNode, useState } from "react"
import { useTranslation } from "react-i18next"

type Props = {
  title: string
  /** what will happen, in words */
  children: ReactNode
  /** of the button: "Delete" */
  verb: string
  /** to be typed; "": no need */
  name?: string
  danger?: boolean
  onConfirm: () => Promise<unknown> | undefined
  onClose: () => void
}

export function Confirm({ title, children, verb, name = "", danger = true, onConfirm, onClose }: Props) {
  const { t } = useTranslation()
  const [typed, setTyped] = useState("")
  const [busy, setBusy] = useState(false)
  const ready = !name || typed === name

  const confirm = async () => {
    setBusy(true)
    try {
      await onConfirm()
      onClose()
    } finally {
      setBusy(false)
    }
  }

  return (
    <Modal isOpen variant="small" onClose={onClose} aria-labelledby="confirm-title">
      <ModalHeader title={title} labelId="confirm-title" titleIconVariant={danger ? "warning" : undefined} />
      <ModalBody>
        {children}
        {name && (
          <Form
            onSubmit={event => {
              event.preventDefault()
              if (ready) void confirm()
            }}
          >
            <FormGroup label={t("ask.type_name", { name })} fieldId="confirm-name">
              <TextInput id="confirm-name" autoFocus value={typed} onChange={(_, value) => setTyped(value)} />
            </FormGroup>
          </Form>
        )}
      </ModalBody>
      <ModalFooter>
        <Button
          variant={danger ? "danger" : "primary"}
          isDisabled={!ready || busy}
          isLoading={busy}
          onClick={confirm}
        >
          {verb}
        </Button>
        <Button variant="link" onClick={onClose}>
          {t("action.cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}
