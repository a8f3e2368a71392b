/**
 * Asks: requests for a change, each followed to its end.
 *
 * In this room   useAsk(), which sends one; the toasts that tell how it went
 * Always true    no request goes without feedback: accepted, done, or why not. A resource that was changed
 *                meanwhile (412) is given back to the page, which shows the difference.
 */
import { Alert, AlertActionCloseButton, AlertGroup } from "@patternfly/react-core"
import { createContext, type ReactNode, useCallback, useContext, useEffect, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "wouter"
import { useOne } from "./cache"
import { Problem, send } from "./client"
import type { Operation } from "./kinds"

export type Ask = {
  /** in words, as the person asked for it: "Start" */
  verb: string
  /** of what, for the toast */
  name: string
  method: "POST" | "PATCH" | "PUT" | "DELETE"
  path: string
  body?: unknown
  /** revision that it must still be at */
  ifMatch?: number | undefined
}

type Toast = {
  key: number
  verb: string
  name: string
  operation?: string
  problem?: Problem
  done?: boolean
}
type Asks = { ask: (ask: Ask) => Promise<Operation | undefined>; tell: (toast: Omit<Toast, "key">) => void }

const Context = createContext<Asks | null>(null)
const SHOWN_MAX = 4
let keys = 0

/** Send a request; undefined: it was refused, and the person has been told. */
export function useAsk(): Asks["ask"] {
  return useAsks().ask
}

export function useAsks(): Asks {
  const asks = useContext(Context)
  if (!asks) throw new Error("useAsk outside of AsksProvider")
  return asks
}

/** A request without a word to the person. throws Problem */
export function askQuietly<T = Operation>({
  method,
  path,
  body,
  ifMatch,
}: Omit<Ask, "verb" | "name">): Promise<T> {
  const headers: Record<string, string> = { "idempotency-key": crypto.randomUUID() }
  if (ifMatch !== undefined) headers["if-match"] = `"${ifMatch}"`
  return send<T>(method, path, body, headers)
}

/** What a request would do, without doing it. throws Problem */
export function dryRun<T = Operation>({ method, path, body }: Omit<Ask, "verb" | "name">): Promise<T> {
  return send<T>(method, `${path}${path.includes("?") ? "&" : "?"}dry_run=true`, body)
}

export function AsksProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([])

  const tell = useCallback((toast: Omit<Toast, "key">) => {
    keys += 1
    const key = keys
    setToasts(before => [{ ...toast, key }, ...before].slice(0, SHOWN_MAX))
  }, [])
  const drop = useCallback((key: number) => setToasts(before => before.filter(t => t.key !== key)), [])

  const ask = useCallback(
    async (wanted: Ask) => {
      try {
        const operation = await askQuietly(wanted)
        tell({ verb: wanted.verb, name: wanted.name, operation: operation?.id ?? "" })
        return operation
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        tell({ verb: wanted.verb, name: wanted.name, problem: error })
        return undefined
      }
    },
    [tell],
  )
  const asks = useMemo(() => ({ ask, tell }), [ask, tell])

  return (
    <Context.Provider value={asks}>
      {children}
      <AlertGroup isToast isLiveRegion>
        {toasts.map(toast => (
          <OneToast key={toast.key} toast={toast} onClose={() => drop(toast.key)} />
        ))}
      </AlertGroup>
    </Context.Provider>
  )
}

function OneToast({ toast, onClose }: { toast: Toast; onClose: () => void }) {
  const { t } = useTranslation()
  const operation = useOne("Operation", toast.operation ?? "", !!toast.operation).data
  const state = toast.problem ? "failed" : toast.done ? "succeeded" : (operation?.status?.state ?? "running")
  const error = toast.problem ?? operation?.status?.error
  const words = { verb: toast.verb, name: toast.name }
  const titles = {
    running: t("ask.accepted", words),
    succeeded: t("ask.done", words),
    failed: t("ask.failed", words),
    cancelled: t("ask.cancelled", words),
  }
  const variants = { running: "info", succeeded: "success", failed: "danger", cancelled: "warning" } as const

  useEffect(() => {
    if (state !== "succeeded") return
    const timer = setTimeout(onClose, 5_000)
    return () => clearTimeout(timer)
  }, [state, onClose])

  return (
    <Alert
      variant={variants[state]}
      title={titles[state]}
      actionClose={<AlertActionCloseButton onClose={onClose} />}
      actionLinks={
        toast.operation ? <Link href={`/operations/${toast.operation}`}>{t("ask.show")}</Link> : undefined
      }
    >
      {error && (
        <>
          <p>{error.message}</p>
          {error.hint && <p>{error.hint}</p>}
        </>
      )}
    </Alert>
  )
}
