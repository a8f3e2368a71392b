/**
 * Bulk: one verb for many VMs; what would happen to each is shown before anything is done.
 *
 * Always true    a few requests at a time; what is refused stops no other; each row is followed to its end
 */
import {
  Button,
  Label,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Progress,
  ProgressMeasureLocation,
} from "@patternfly/react-core"
import { useCallback, useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "wouter"
import { askQuietly, dryRun } from "../../api/asks"
import { useOne } from "../../api/cache"
import { Problem } from "../../api/client"
import { eachOf } from "../../api/many"
import { Phase } from "../../parts/phase"
import { requestFor, type Verb } from "./verbs"

export type Chosen = { id: string; name: string }
const VERBS: Verb[] = ["start", "stop", "restart", "migrate", "delete"]
const AT_ONCE = 6

type Props = {
  chosen: ReadonlyMap<string, Chosen>
  total: number
  most: number
  onAll: () => void
  onNone: () => void
}

export function Bulk({ chosen, total, most, onAll, onNone }: Props) {
  const { t } = useTranslation()
  const [verb, setVerb] = useState<Verb | null>(null)
  if (chosen.size === 0) return null
  return (
    <div className="row bulk" role="toolbar" aria-label={t("vms.chosen", { count: chosen.size })}>
      <strong>{t("vms.chosen", { count: chosen.size })}</strong>
      {VERBS.map(each => (
        <Button
          key={each}
          size="sm"
          variant={each === "delete" ? "danger" : "secondary"}
          onClick={() => setVerb(each)}
        >
          {t(`vms.do.${each}`)}
        </Button>
      ))}
      {total > chosen.size && (
        <Button variant="link" onClick={onAll}>
          {t("vms.choose_all", { count: Math.min(total, most) })}
        </Button>
      )}
      <Button variant="link" onClick={onNone}>
        {t("vms.choose_none")}
      </Button>
      {verb && (
        <Preview verb={verb} vms={[...chosen.values()]} onClose={() => setVerb(null)} onDone={onNone} />
      )}
    </div>
  )
}

type State = "running" | "succeeded" | "failed" | "cancelled"
type Said = { problem: Problem | null; operation: string; state: State }
const UNASKED = { operation: "", state: "running" } as const
type PreviewProps = { verb: Verb; vms: Chosen[]; onClose: () => void; onDone: () => void }

function Preview({ verb, vms, onClose, onDone }: PreviewProps) {
  const { t } = useTranslation()
  const [said, setSaid] = useState<ReadonlyMap<string, Said>>(new Map())
  const [going, setGoing] = useState<"checking" | "ready" | "running" | "done">("checking")
  const word = t(`vms.do.${verb}`)

  // biome-ignore lint/correctness/useExhaustiveDependencies: what was chosen when the dialog opened
  useEffect(() => {
    const cut = new AbortController()
    void eachOf(vms, AT_ONCE, cut.signal, async vm => {
      const problem = await refusal(() => dryRun(requestFor(verb, vm)))
      setSaid(before => new Map(before).set(vm.id, { ...UNASKED, problem }))
    }).then(() => !cut.signal.aborted && setGoing("ready"))
    return () => cut.abort()
  }, [])

  const fine = vms.filter(vm => said.get(vm.id)?.problem === null)
  const refused = vms.filter(vm => said.get(vm.id)?.problem)
  const asked = vms.filter(vm => said.get(vm.id)?.operation)
  const inState = (state: State) => asked.filter(vm => said.get(vm.id)?.state === state).length
  const [of, setOf] = useState(vms.length)
  const tell = useCallback(
    (id: string, state: State) =>
      setSaid(before => {
        const one = before.get(id)
        return one && one.state !== state ? new Map(before).set(id, { ...one, state }) : before
      }),
    [],
  )

  const run = async () => {
    setGoing("running")
    setOf(fine.length)
    await eachOf(fine, AT_ONCE, undefined, async vm => {
      let operation = ""
      const problem = await refusal(async () => {
        operation = (await askQuietly(requestFor(verb, vm))).id
      })
      setSaid(before => new Map(before).set(vm.id, { ...UNASKED, problem, operation }))
    })
    setGoing("done")
  }
  const close = () => {
    onClose()
    if (going === "done") onDone()
  }
  const begun = going === "running" || going === "done"
  const ended = asked.length - inState("running")
  const steps = begun ? ended : said.size

  return (
    <Modal isOpen variant="medium" onClose={close} aria-labelledby="bulk-title">
      <ModalHeader
        title={t("vms.bulk.title", { verb: word, count: vms.length })}
        labelId="bulk-title"
        titleIconVariant={verb === "delete" ? "warning" : undefined}
      />
      <ModalBody>
        <p>{begun ? t("vms.bulk.running", { done: asked.length, total: of }) : t("vms.bulk.preview")}</p>
        {verb === "delete" && (
          <p>
            {t("vms.bulk.names", {
              names:
                fine
                  .slice(0, 20)
                  .map(vm => vm.name)
                  .join(", ") + (fine.length > 20 ? " …" : ""),
            })}
          </p>
        )}
        {going !== "ready" && (
          <Progress
            aria-label={word}
            value={of ? (steps / of) * 100 : 100}
            measureLocation={ProgressMeasureLocation.outside}
          />
        )}
        <p aria-live="polite">
          {begun
            ? t("vms.bulk.ended", { done: inState("succeeded"), failed: ended - inState("succeeded") })
            : t("vms.bulk.can", { count: fine.length })}
          {refused.length > 0 && ` · ${t("vms.bulk.cannot", { count: refused.length })}`}
        </p>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and so has to be reached by keyboard */}
        <section className="bulk-rows" aria-label={word} tabIndex={0}>
          {[...refused, ...vms.filter(vm => !said.get(vm.id)?.problem)].map(vm => {
            const one = said.get(vm.id)
            return (
              <div key={vm.id} className="bulk-row">
                <bdi className="name">{vm.name}</bdi>
                {!one ? (
                  <span>…</span>
                ) : one.problem ? (
                  <span>
                    <Label status="danger" isCompact variant="outline">
                      {one.problem.code}
                    </Label>{" "}
                    {one.problem.message}
                  </span>
                ) : one.operation ? (
                  <Outcome vm={vm.id} operation={one.operation} onState={tell} />
                ) : (
                  <Label status="success" isCompact variant="outline">
                    {t("vms.bulk.fine")}
                  </Label>
                )}
              </div>
            )
          })}
        </section>
      </ModalBody>
      <ModalFooter>
        {going !== "done" && (
          <Button
            variant={verb === "delete" ? "danger" : "primary"}
            isDisabled={going !== "ready" || fine.length === 0}
            isLoading={going === "running"}
            onClick={run}
          >
            {t("vms.bulk.go", { verb: word, count: fine.length })}
          </Button>
        )}
        <Button variant="link" onClick={close}>
          {going === "done" ? t("action.close") : t("action.cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}

type OutcomeProps = { vm: string; operation: string; onState: (vm: string, state: State) => void }

/** How the operation of one row goes, live, and why it failed. */
function Outcome({ vm, operation, onState }: OutcomeProps) {
  const { t } = useTranslation()
  const status = useOne("Operation", operation).data?.status
  const state = status?.state ?? "running"
  useEffect(() => onState(vm, state), [vm, state, onState])
  return (
    <span>
      <Link href={`~/operations/${operation}`} aria-label={t("ask.show")}>
        {state === "running" ? t("vms.bulk.asked") : <Phase phase={state} />}
      </Link>{" "}
      {status?.error?.message}
    </span>
  )
}

async function refusal(ask: () => Promise<unknown>): Promise<Problem | null> {
  try {
    await ask()
    return null
  } catch (error) {
    if (error instanceof Problem) return error
    throw error
  }
}
