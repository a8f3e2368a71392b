/** Trouble: what went wrong, and what to do about it. */
import { Alert, Button, EmptyState, EmptyStateBody } from "@patternfly/react-core"
import i18next from "i18next"
import { Component, type ReactNode } from "react"
import { useTranslation } from "react-i18next"
import { Problem } from "../api/client"

type Said = { message: string; hint?: string | undefined; code?: string }

export function Trouble({ of, onRetry }: { of: Said | Error | null | undefined; onRetry?: () => void }) {
  const { t } = useTranslation()
  if (!of) return null
  const request = of instanceof Problem ? of.details.request_id : ""
  return (
    <Alert
      isInline
      variant="danger"
      title={of.message}
      actionLinks={
        onRetry && (
          <Button variant="link" isInline onClick={onRetry}>
            {t("action.retry")}
          </Button>
        )
      }
    >
      {"hint" in of && of.hint && <p>{of.hint}</p>}
      {request && <small>{t("state.request", { id: request })}</small>}
    </Alert>
  )
}

/** A page of something that is not there (any more). */
export function Gone({ name }: { name: string }) {
  const { t } = useTranslation()
  return (
    <EmptyState headingLevel="h1" titleText={t("state.gone", { name })}>
      <EmptyStateBody>{t("state.gone_hint")}</EmptyStateBody>
    </EmptyState>
  )
}

/** Keeps a fault in one part of a page from taking the rest with it. */
export class Fence extends Component<{ children: ReactNode; of?: string }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null }

  static getDerivedStateFromError(error: Error) {
    return { error }
  }

  override componentDidUpdate(before: { of?: string }) {
    if (before.of !== this.props.of && this.state.error) this.setState({ error: null })
  }

  override render() {
    if (!this.state.error) return this.props.children
    return (
      <Alert
        isInline
        variant="danger"
        title={i18next.t("state.broken")}
        actionLinks={
          <Button variant="link" isInline onClick={() => window.location.reload()}>
            {i18next.t("state.reload")}
          </Button>
        }
      >
        {this.state.error.message}
      </Alert>
    )
  }
}
