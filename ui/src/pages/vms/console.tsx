/** Consoles of a VM: its serial line, and its screen where it has one. */
import { Alert, ToggleGroup, ToggleGroupItem } from "@patternfly/react-core"
import { lazy, Suspense, useState } from "react"
import { useTranslation } from "react-i18next"
import type { VM } from "../../api/kinds"
import { Code, quote } from "../../parts/code"

const Serial = lazy(() => import("./serial"))
const Screen = lazy(() => import("./screen"))

type Kind = "serial" | "vnc" | "spice"
const OPEN = new Set(["running", "paused", "migrating", "stopping", "starting"])

export default function Consoles({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const graphics = vm.spec.hardware?.graphics ?? "vnc"
  const [kind, setKind] = useState<Kind>("serial")
  const kinds: Kind[] = graphics === "none" ? ["serial"] : ["serial", graphics as Kind]
  if (!OPEN.has(vm.status?.phase ?? "")) return <Alert isInline variant="info" title={t("vms.console.off")} />
  return (
    <div className="console">
      <ToggleGroup aria-label={t("vms.tabs.console")}>
        {kinds.map(each => (
          <ToggleGroupItem
            key={each}
            text={t(`vms.console.${each}`)}
            buttonId={`console-${each}`}
            isSelected={kind === each}
            onChange={() => setKind(each)}
          />
        ))}
      </ToggleGroup>
      <Suspense fallback={<p>{t("vms.console.connecting")}</p>}>
        {kind === "serial" && <Serial vm={vm} />}
        {kind === "vnc" && <Screen vm={vm} />}
        {kind === "spice" && (
          <>
            <p>{t("vms.console.spice_note")}</p>
            <Code text={`corral vm console ${quote(vm.name)} --spice`} label="spice" />
          </>
        )}
      </Suspense>
    </div>
  )
}
