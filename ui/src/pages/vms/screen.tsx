/** Screen: VNC in the page, with keys that a browser keeps for itself, the clipboard, scaling and full screen. */
import RFB from "@novnc/novnc"
import { Button, Checkbox, TextInput } from "@patternfly/react-core"
import { useEffect, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import type { VM } from "../../api/kinds"
import { keysOf } from "./keys"
import { consoleUrl, LinkLine, useConsoleLink } from "./link"

export default function Screen({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const place = useRef<HTMLDivElement>(null)
  const rfb = useRef<RFB | null>(null)
  const { number, link, connect, opened, closed } = useConsoleLink()
  const [scale, setScale] = useState(true)
  const [clipboard, setClipboard] = useState("")

  useEffect(() => {
    const element = place.current
    if (!element || number < 0) return
    // our own socket: noVNC does not tell the code that it was closed with
    const socket = new WebSocket(consoleUrl(vm.id, "vnc"), ["binary"])
    socket.binaryType = "arraybuffer"
    let over = false
    socket.addEventListener("close", event => {
      if (!over) closed(event.code)
    })
    const screen = new RFB(element, socket, { shared: true })
    screen.background = "#000"
    screen.focusOnClick = true
    screen.addEventListener("connect", opened)
    screen.addEventListener("clipboard", event =>
      setClipboard((event as CustomEvent<{ text: string }>).detail.text),
    )
    rfb.current = screen
    return () => {
      over = true
      rfb.current = null
      screen.disconnect()
    }
  }, [vm.id, number, opened, closed])

  useEffect(() => {
    if (rfb.current && number >= 0) rfb.current.scaleViewport = scale
  }, [scale, number])

  const type = (text: string) => {
    for (const keysym of keysOf(text)) rfb.current?.sendKey(keysym, null)
    rfb.current?.focus()
  }

  return (
    <>
      <div className="row">
        <LinkLine link={link} onConnect={connect} />
        <Button size="sm" variant="secondary" onClick={() => rfb.current?.sendCtrlAltDel()}>
          {t("vms.console.send_cad")}
        </Button>
        <Button size="sm" variant="secondary" onClick={() => void place.current?.requestFullscreen()}>
          {t("vms.console.fullscreen")}
        </Button>
        <Checkbox
          id="scale"
          label={t("vms.console.scale")}
          isChecked={scale}
          onChange={(_, on) => setScale(on)}
        />
        <TextInput
          className="clipboard"
          aria-label={t("vms.console.clipboard")}
          placeholder={t("vms.console.clipboard")}
          value={clipboard}
          onChange={(_, text) => setClipboard(text)}
        />
        <Button size="sm" variant="secondary" onClick={() => rfb.current?.clipboardPasteFrom(clipboard)}>
          {t("vms.console.to_clipboard")}
        </Button>
        <Button size="sm" variant="secondary" onClick={() => type(clipboard)}>
          {t("vms.console.paste")}
        </Button>
      </div>
      <section
        className="console-place"
        ref={place}
        aria-label={t("vms.console.screen", { name: vm.name })}
      />
    </>
  )
}
