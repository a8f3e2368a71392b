/** Import: an image that the server fetches, or a file that is sent from here. */
import {
  Button,
  FileUpload,
  Form,
  FormGroup,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Progress,
} from "@patternfly/react-core"
import { useId, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import { askQuietly, useAsks } from "../../api/asks"
import { Problem } from "../../api/client"
import type { Operation } from "../../api/kinds"
import { type Upload, upload } from "../../api/upload"
import { bytes } from "../../look/format"
import { Equivalent } from "../../parts/code"
import { command, wordsOf } from "../../parts/command"
import { bodyOf, type Field, troubleAt, type Values } from "../../parts/fields"
import { AskDialog, Fields, useTried, useValues } from "../../parts/form"
import { Trouble } from "../../parts/trouble"
import { nameOfFile } from "./names"

const FORMATS = ["", "qcow2", "raw", "vmdk", "vhdx", "vdi", "vpc"]

function useFields(): { name: Field; rest: Field[] } {
  const { t } = useTranslation()
  return {
    name: { name: "name", label: t("col.name"), kind: "text", required: true, help: t("images.name_help") },
    rest: [
      { name: "os", label: t("images.os"), kind: "text", help: t("images.os_help") },
      { name: "sha256", label: "SHA-256", kind: "text", help: t("images.sha_help") },
      {
        name: "format",
        label: t("images.format"),
        kind: "choice",
        choices: FORMATS.map(value => ({ value, label: value || t("images.as_it_looks") })),
      },
      { name: "labels", label: t("col.labels"), kind: "labels", help: t("resource.labels_help") },
    ],
  }
}

function commandOf(values: Values, source: unknown): string {
  return command(["corral", "image", "import", values.name, source], {
    sha256: values.sha256,
    format: values.format,
    os: values.os,
    label: wordsOf(values.labels),
  })
}

export function FetchDialog({ close }: { close: () => void }) {
  const { t } = useTranslation()
  const { name, rest } = useFields()
  const url: Field = {
    name: "url",
    label: t("images.url"),
    kind: "text",
    required: true,
    help: t("images.url_help"),
  }
  const fields = [name, url, ...rest]
  return (
    <AskDialog
      title={t("images.fetch")}
      verb={t("images.import")}
      name=""
      fields={fields}
      request={values => ({ method: "POST", path: "/api/v1/images", body: bodyOf(fields, values) })}
      command={values => commandOf(values, values.url)}
      onClose={close}
    />
  )
}

/** First the image, then its bytes; the dialog stays until they are there. */
export function UploadDialog({ close }: { close: () => void }) {
  const { t } = useTranslation()
  const { tell } = useAsks()
  const id = useId()
  const { name, rest } = useFields()
  const fields = [name, ...rest]
  const { values, touched, change } = useValues(fields)
  const [file, setFile] = useState<File | null>(null)
  const [share, setShare] = useState<number | null>(null)
  const [refused, setRefused] = useState<Problem | null>(null)
  const going = useRef<Upload | null>(null)
  const asked = { method: "POST", path: "/api/v1/images", body: bodyOf(fields, values) } as const
  const tried = useTried(share === null && values.name ? asked : null)
  const problem = refused ?? tried.problem
  const busy = share !== null

  const choose = (chosen: File) => {
    setFile(chosen)
    if (!values.name) change("name", nameOfFile(chosen.name))
  }
  const send = async () => {
    if (!file) return
    setRefused(null)
    setShare(0)
    try {
      const operation = await askQuietly<Operation>(asked)
      tell({ verb: t("images.import"), name: String(values.name), operation: operation.id })
      going.current = upload(
        `/api/v1/images/${encodeURIComponent(operation.spec.target.id)}/content`,
        file,
        setShare,
      )
      await going.current.done
      close()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setRefused(error)
      setShare(null)
    }
  }
  const leave = () => {
    going.current?.stop()
    close()
  }

  return (
    <Modal isOpen variant="medium" onClose={leave} aria-labelledby={id}>
      <ModalHeader title={t("images.upload")} labelId={id} />
      <ModalBody>
        <Form
          id={`${id}-form`}
          onSubmit={event => {
            event.preventDefault()
            void send()
          }}
        >
          <FormGroup label={t("images.file")} fieldId={`${id}-file`} isRequired>
            <FileUpload
              id={`${id}-file`}
              filename={file ? `${file.name} (${bytes(file.size)})` : ""}
              filenamePlaceholder={t("images.file_help")}
              filenameAriaLabel={t("images.file")}
              browseButtonText={t("images.browse")}
              browseButtonAriaDescribedby={`${id}-file`}
              hideDefaultPreview
              isClearButtonDisabled={!file || busy}
              clearButtonText={t("images.other_file")}
              isDisabled={busy}
              onFileInputChange={(_, chosen) => choose(chosen)}
              onClearClick={() => setFile(null)}
            />
          </FormGroup>
          <Fields
            fields={fields}
            values={values}
            touched={refused ? undefined : touched}
            problem={problem}
            onChange={(field, value) => {
              setRefused(null)
              change(field, value)
            }}
          />
          {problem && !troubleAt(fields, problem) && <Trouble of={problem} />}
          {busy && (
            <Progress
              title={t("images.sending")}
              value={Math.round((share ?? 0) * 100)}
              measureLocation="top"
            />
          )}
        </Form>
        <Equivalent command={commandOf(values, file?.name ?? "")} call={asked} />
      </ModalBody>
      <ModalFooter>
        <Button type="submit" form={`${id}-form`} isDisabled={busy || !file || !values.name} isLoading={busy}>
          {t("images.upload_verb")}
        </Button>
        <Button variant="link" onClick={leave}>
          {busy ? t("images.stop") : t("action.cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}
