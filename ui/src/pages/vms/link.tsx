/** Link: one console's connection: what it is like, opened again where that makes sense. */
import { Button, Label } from "@patternfly/react-core"
import { useCallback, useEffect, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import { againAfter, isKnown } from "./closing"

export type LinkState = { state: "connecting" | "connected" | "closed"; code: number }

/** Address of a console's WebSocket; the session's cookie goes with it. */
export function consoleUrl(vm: string, kind: "serial" | "vnc", replay = ""): string {
  const scheme = window.location.protocol === "https:" ? "wss" : "ws"
  const words = new URLSearchParams({ kind, ...(replay ? { replay } : {}) })
  return `${scheme}://${window.location.host}/api/v1/vms/${encodeURIComponent(vm)}/console?${words}`
}

/** Counts connections: each number is a new one. `closed(code)` decides about the next. */
export function useConsoleLink() {
  const [number, setNumber] = useState(0)
  const [link, setLink] = useState<LinkState>({ state: "connecting", code: 0 })
  const tries = useRef(0)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])

  const connect = useCallback(() => {
    clearTimeout(timer.current)
    setLink({ state: "connecting", code: 0 })
    setNumber(before => before + 1)
  }, [])
  const opened = useCallback(() => {
    tries.current = 0
    setLink({ state: "connected", code: 0 })
  }, [])
  const closed = useCallback(
    (code: number) => {
      setLink({ state: "closed", code })
      const wait = againAfter(code, tries.current)
      tries.current += 1
      if (wait !== null) timer.current = setTimeout(connect, wait)
    },
    [connect],
  )
  return { number, link, connect, opened, closed }
}

export function LinkLine({ link, onConnect }: { link: LinkState; onConnect: () => void }) {
  const { t } = useTranslation()
  const why = isKnown(link.code)
    ? t(`vms.console.code_${link.code}`)
    : t("vms.console.code_other", { code: link.code })
  return (
    <span className="row" role="status">
      <Label
        isCompact
        status={link.state === "connected" ? "success" : link.state === "closed" ? "danger" : "info"}
      >
        {t(`vms.console.${link.state}`)}
      </Label>
      {link.state === "closed" && (
        <>
          <span>{why}</span>
          <Button size="sm" variant="secondary" onClick={onConnect}>
            {t("vms.console.connect")}
          </Button>
        </>
      )}
    </span>
  )
}
