/**
 * Form: a request as a form, tried out with the server while it is filled in.
 *
 * In this room   Fields, the inputs; useTried(), the dry run behind them; AskDialog, a dialog of both, which tells
 *                when somebody else changed meanwhile what is edited
 * Always true    what is wrong is said at the field that it is about, by the server's own rules, before it is asked for
 * Next door      fields.ts has what is not drawn
 */
import {
  Alert,
  Button,
  Checkbox,
  Form,
  FormGroup,
  FormHelperText,
  FormSelect,
  FormSelectOption,
  HelperText,
  HelperTextItem,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  TextArea,
  TextInput,
} from "@patternfly/react-core"
import { type ReactNode, useEffect, useId, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { type Ask, askQuietly, dryRun, useAsks } from "../api/asks"
import { Problem } from "../api/client"
import type { Operation } from "../api/kinds"
import { Equivalent } from "./code"
import { DiffView } from "./diff-view"
import { type Field, initialValues, troubleAt, type Values } from "./fields"
import { isChanged, linesOf, mineOnto } from "./meanwhile"
import { Trouble } from "./trouble"

const TRY_MS = 350

type Request = Omit<Ask, "verb" | "name">

/** What the server says against a request, tried a moment after the last change. null: nothing. */
export function useTried(request: Request | null): { problem: Problem | null; trying: boolean } {
  const [problem, setProblem] = useState<Problem | null>(null)
  const [tried, setTried] = useState("")
  const text = request ? JSON.stringify(request) : ""
  useEffect(() => {
    if (!text) return
    let over = false
    const timer = setTimeout(() => {
      dryRun(JSON.parse(text) as Request)
        .then(() => !over && setProblem(null))
        .catch(error => !over && error instanceof Problem && setProblem(error))
        .finally(() => !over && setTried(text))
    }, TRY_MS)
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [text])
  return { problem: text ? problem : null, trying: text !== "" && tried !== text }
}

type FieldsProps = {
  fields: Field[]
  values: Values
  touched?: ReadonlySet<string>
  problem: Problem | null
  onChange: (name: string, value: string | boolean) => void
}

export function Fields({ fields, values, touched, problem, onChange }: FieldsProps) {
  const at = troubleAt(fields, problem)
  return fields
    .filter(field => !field.when || field.when(values))
    .map(field => {
      const wrong = field.name === at && (!touched || touched.has(field.name)) ? problem : null
      return (
        <OneField
          key={field.name}
          field={field}
          value={values[field.name] ?? ""}
          trouble={wrong ? [wrong.message, wrong.hint].filter(Boolean).join(" ") : ""}
          onChange={value => onChange(field.name, value)}
        />
      )
    })
}

type OneProps = {
  field: Field
  value: string | boolean
  trouble: string
  onChange: (value: string | boolean) => void
}

function OneField({ field, value, trouble, onChange }: OneProps) {
  const id = useId()
  const validated = trouble ? ("error" as const) : ("default" as const)
  const shared = { id, "aria-describedby": `${id}-help`, validated }
  if (field.kind === "check")
    return (
      <FormGroup fieldId={id}>
        <Checkbox
          id={id}
          label={field.label}
          description={trouble || field.help}
          isChecked={value === true}
          onChange={(_, checked) => onChange(checked)}
        />
      </FormGroup>
    )
  return (
    <FormGroup label={field.label} fieldId={id} isRequired={field.required ?? false}>
      {field.kind === "choice" ? (
        <FormSelect {...shared} value={String(value)} onChange={(_, chosen) => onChange(chosen)}>
          {(field.choices ?? []).map(choice => (
            <FormSelectOption key={choice.value} value={choice.value} label={choice.label} />
          ))}
        </FormSelect>
      ) : field.kind === "area" ? (
        <TextArea
          {...shared}
          rows={6}
          resizeOrientation="vertical"
          className="mono"
          value={String(value)}
          onChange={(_, text) => onChange(text)}
        />
      ) : (
        <TextInput
          {...shared}
          type={field.kind === "secret" ? "password" : "text"}
          inputMode={field.kind === "number" ? "decimal" : undefined}
          value={String(value)}
          onChange={(_, text) => onChange(text)}
        />
      )}
      {(trouble || field.help) && (
        <FormHelperText>
          <HelperText id={`${id}-help`} aria-live="polite">
            <HelperTextItem variant={trouble ? "error" : "default"}>{trouble || field.help}</HelperTextItem>
          </HelperText>
        </FormHelperText>
      )}
    </FormGroup>
  )
}

/** Values of a form, and which of them a person has changed. */
export function useValues(fields: Field[]) {
  const [values, setValues] = useState(() => initialValues(fields))
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set())
  const change = (name: string, value: string | boolean) => {
    setValues(before => ({ ...before, [name]: value }))
    setTouched(before => new Set(before).add(name))
  }
  return { values, touched, change, setValues, setTouched }
}

type DialogProps = {
  title: string
  /** of the button, and of the toast */
  verb: string
  /** of the button, where that is another word than the toast's */
  submit?: string
  /** of what, for the toast */
  name: string
  fields: Field[]
  request: (values: Values) => Request
  /** the same on the command line */
  command?: (values: Values) => string
  children?: ReactNode
  danger?: boolean
  /** the request knows no dry run */
  untried?: boolean
  onDone?: (answer: Operation) => void
  onClose: () => void
}

export function AskDialog(props: DialogProps) {
  const { title, verb, submit = verb, name, fields, request, command, children, danger, untried } = props
  const { onDone, onClose } = props
  const { t } = useTranslation()
  const { tell } = useAsks()
  const { values, touched, change, setValues, setTouched } = useValues(fields)
  const [base, setBase] = useState(values)
  const now = initialValues(fields)
  const settle = (next: Values) => {
    setBase(now)
    setValues(next)
  }
  const asked = useMemo(() => request(values), [request, values])
  // a form that edits begins with what is there: what somebody else makes of that meanwhile is shown first
  const changedMeanwhile = asked.method === "PATCH" && isChanged(base, now)
  const tried = useTried(untried ? null : asked)
  const [refused, setRefused] = useState<Problem | null>(null)
  const [busy, setBusy] = useState(false)
  const problem = refused ?? tried.problem
  const missing = fields.some(f => f.required && (!f.when || f.when(values)) && !values[f.name])
  const atField = troubleAt(fields, problem)
  const wrong =
    tried.problem !== null && !tried.problem.details.retryable && tried.problem.details.status < 500
  const id = useId()

  const send = async () => {
    setBusy(true)
    setRefused(null)
    try {
      const answer = await askQuietly(asked)
      tell({
        verb,
        name: name || String(values.name ?? ""),
        operation: answer?.kind === "Operation" ? answer.id : "",
        done: answer?.kind !== "Operation",
      })
      onDone?.(answer)
      onClose()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      setRefused(error)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Modal isOpen variant="medium" onClose={onClose} aria-labelledby={id}>
      <ModalHeader title={title} labelId={id} titleIconVariant={danger ? "warning" : undefined} />
      <ModalBody>
        {children}
        {changedMeanwhile && (
          <Meanwhile
            name={name}
            theirs={linesOf(fields, now)}
            mine={linesOf(fields, mineOnto(now, values, touched))}
            onKeep={() => settle(mineOnto(now, values, touched))}
            onDrop={() => {
              settle(now)
              setTouched(new Set())
            }}
          />
        )}
        <Form
          id={`${id}-form`}
          onSubmit={event => {
            event.preventDefault()
            void send()
          }}
        >
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
          {problem && !atField && !missing && <Trouble of={problem} />}
        </Form>
        <Equivalent command={command?.(values) ?? ""} call={asked} />
      </ModalBody>
      <ModalFooter>
        <Button
          type="submit"
          form={`${id}-form`}
          variant={danger ? "danger" : "primary"}
          isDisabled={busy || missing || changedMeanwhile || wrong}
          isLoading={busy}
        >
          {submit}
        </Button>
        <Button variant="link" onClick={onClose}>
          {t("action.cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}

type MeanwhileProps = { name: string; theirs: string; mine: string; onKeep: () => void; onDrop: () => void }

/** Somebody else was quicker: what is different, and whose it is to be. */
function Meanwhile({ name, theirs, mine, onKeep, onDrop }: MeanwhileProps) {
  const { t } = useTranslation()
  return (
    <Alert
      isInline
      variant="warning"
      title={t("ask.changed_meanwhile")}
      actionLinks={
        <>
          <Button variant="link" isInline onClick={onKeep}>
            {t("ask.keep_yours")}
          </Button>
          <Button variant="link" isInline onClick={onDrop}>
            {t("ask.take_theirs")}
          </Button>
        </>
      }
    >
      <p>{t("ask.changed_meanwhile_body", { name })}</p>
      <DiffView before={theirs} after={mine} label={t("ask.changed_meanwhile")} />
    </Alert>
  )
}
