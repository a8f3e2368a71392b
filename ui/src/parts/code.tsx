/** Code: text to copy, and how a request looks as a command and as a call of the API. */
import {
  ClipboardCopyButton,
  CodeBlock,
  CodeBlockAction,
  CodeBlockCode,
  ExpandableSection,
} from "@patternfly/react-core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

export function Code({ text, label }: { text: string; label?: string }) {
  const { t } = useTranslation()
  const [copied, setCopied] = useState(false)
  const id = `code-${(label ?? text).replace(/\W/g, "").slice(0, 20)}`
  const copy = (
    <CodeBlockAction>
      <ClipboardCopyButton
        id={`${id}-copy`}
        textId={id}
        aria-label={t("action.copy")}
        variant="plain"
        exitDelay={copied ? 1500 : 600}
        onTooltipHidden={() => setCopied(false)}
        onClick={() => {
          void navigator.clipboard.writeText(text)
          setCopied(true)
        }}
      >
        {copied ? t("action.copied") : t("action.copy")}
      </ClipboardCopyButton>
    </CodeBlockAction>
  )
  return (
    <CodeBlock actions={copy}>
      <CodeBlockCode id={id}>{text}</CodeBlockCode>
    </CodeBlock>
  )
}

type Call = { method: string; path: string; body?: unknown }

/** The equivalent command line and API call of what a form is about to ask for. */
export function Equivalent({ command, call }: { command: string; call: Call }) {
  const { t } = useTranslation()
  return (
    <ExpandableSection toggleText={t("action.show_code")}>
      {command && <Code text={command} label="command" />}
      <Code text={curl(call)} label="call" />
    </ExpandableSection>
  )
}

export function curl({ method, path, body }: Call): string {
  const lines = [
    `curl -X ${method} ${window.location.origin}${path}`,
    '-H "Authorization: Bearer $CORRAL_TOKEN"',
  ]
  if (body !== undefined) {
    lines.push("-H 'Content-Type: application/json'")
    lines.push(`-d ${quote(JSON.stringify(body))}`)
  }
  return lines.join(" \\\n  ")
}

/** For a POSIX shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
