/** Serial console: the bytes of the line in a terminal, with what was printed before. */
import { FitAddon } from "@xterm/addon-fit"
import { Terminal } from "@xterm/xterm"
import { useEffect, useRef } from "react"
import { useTranslation } from "react-i18next"
import "@xterm/xterm/css/xterm.css"
import type { VM } from "../../api/kinds"
import { consoleUrl, LinkLine, useConsoleLink } from "./link"

const REPLAY = "64KiB"
const LINES_KEPT = 10_000

export default function Serial({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const place = useRef<HTMLDivElement>(null)
  const { number, link, connect, opened, closed } = useConsoleLink()

  useEffect(() => {
    const element = place.current
    if (!element) return
    const terminal = new Terminal({
      scrollback: LINES_KEPT,
      cursorBlink: number >= 0,
      fontFamily: '"Red Hat Mono", monospace',
      fontSize: 14,
      screenReaderMode: true,
    })
    const fit = new FitAddon()
    terminal.loadAddon(fit)
    terminal.open(element)
    fit.fit()
    const watching = new ResizeObserver(() => fit.fit())
    watching.observe(element)

    const socket = new WebSocket(consoleUrl(vm.id, "serial", REPLAY), ["corral.console.v1"])
    socket.binaryType = "arraybuffer"
    const coder = new TextEncoder()
    socket.onopen = () => {
      opened()
      terminal.focus()
    }
    socket.onmessage = event => terminal.write(new Uint8Array(event.data as ArrayBuffer))
    socket.onclose = event => closed(event.code)
    const typing = terminal.onData(text => {
      if (socket.readyState === WebSocket.OPEN) socket.send(coder.encode(text))
    })
    return () => {
      socket.onclose = null
      socket.close()
      typing.dispose()
      watching.disconnect()
      terminal.dispose()
    }
  }, [vm.id, number, opened, closed])

  return (
    <>
      <LinkLine link={link} onConnect={connect} />
      <section
        className="console-place"
        ref={place}
        aria-label={t("vms.console.terminal", { name: vm.name })}
      />
    </>
  )
}
