/** Pending and drift: what the running VM does not have yet, and what somebody else changed. */
import { Alert, Button } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import type { Schemas } from "../../api/client"
import type { VM } from "../../api/kinds"
import { useMay } from "../../session/session"
import "../../parts/diff.css"

function reportOf(vm: VM): Schemas["VMReport"] | undefined {
  const node = vm.status?.node
  return node ? vm.status?.reports?.[node] : undefined
}

export function countOfPending(vm: VM): number {
  const report = reportOf(vm)
  return (report?.pending?.length ?? 0) + (report?.drift ? 1 : 0)
}

export function PendingAndDrift({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const report = reportOf(vm)
  const pending = report?.pending ?? []
  return (
    <>
      {pending.length === 0 ? (
        <p>{t("vms.pending.none")}</p>
      ) : (
        <ul className="reasons">
          {pending.map(each => (
            <li key={`${each.what}-${each.key}`}>
              <strong>{each.guest ? t("vms.pending.waits_guest") : t("vms.pending.next_start")}:</strong>{" "}
              {each.text}
            </li>
          ))}
        </ul>
      )}
      {report?.drift ? <DriftPart vm={vm} drift={report.drift} /> : <p>{t("vms.pending.no_drift")}</p>}
    </>
  )
}

function DriftPart({ vm, drift }: { vm: VM; drift: Schemas["Drift"] }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const may = useMay("operator")
  const settle = (how: "accept" | "revert") => () =>
    void ask({
      verb: t(`vms.pending.${how}`),
      name: vm.name,
      method: "POST",
      path: `/api/v1/vms/${vm.id}/drift`,
      body: { settle: how, digest: drift.digest },
    })
  return (
    <Alert isInline variant="warning" title={t("vms.pending.drift")}>
      <p>{t("vms.pending.drift_note")}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so has to be reached by keyboard */}
      <section className="diff" aria-label={t("vms.pending.drift")} tabIndex={0}>
        {drift.lines?.map((line, n) => (
          <div
            // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other name
            key={n}
            className={line.startsWith("-") ? "diff-goes" : line.startsWith("+") ? "diff-comes" : ""}
          >
            {line}
          </div>
        ))}
      </section>
      {may && (
        <div className="row">
          <Button variant="secondary" onClick={settle("accept")}>
            {t("vms.pending.accept")}
          </Button>
          <Button variant="secondary" onClick={settle("revert")}>
            {t("vms.pending.revert")}
          </Button>
        </div>
      )}
    </Alert>
  )
}
