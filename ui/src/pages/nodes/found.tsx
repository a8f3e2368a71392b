/**
 * Found domains: what runs on a node and is not Corral's; what adopting one makes is shown before it is done.
 *
 * Comes in       found domains, live; POST /found-domains/ID/preview
 * Always true    a domain that can't be adopted says why, and has no button
 */
import {
  Button,
  Card,
  CardBody,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
  FormGroup,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  Spinner,
  TextInput,
} from "@patternfly/react-core"
import { useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import { useAsk } from "../../api/asks"
import { useWindow } from "../../api/cache"
import { Problem, type Schemas, send } from "../../api/client"
import { bytes } from "../../look/format"
import { Equivalent, quote } from "../../parts/code"
import { Phase } from "../../parts/phase"
import { Trouble } from "../../parts/trouble"
import { useMay } from "../../session/session"

type Found = Schemas["FoundDomain"]
const SHOWN = 200
const SETTLE_MS = 300

export function FoundDomains({ id }: { id: string }) {
  const { t } = useTranslation()
  const list = useWindow("FoundDomain", { filter: `spec.node=${id}` }, 0, SHOWN - 1)
  const all = Array.from({ length: Math.min(SHOWN, list.total) }, (_, n) => list.row(n))
  const [adopting, setAdopting] = useState<Found | null>(null)
  if (list.total === 0) return <p>{list.loading ? t("state.loading") : t("nodes.found.none")}</p>
  return (
    <>
      <p>{t("nodes.found.lead")}</p>
      <ul className="found">
        {all.map(found => found && <OneDomain key={found.id} found={found} onAdopt={setAdopting} />)}
      </ul>
      {adopting && <Adopt found={adopting} onClose={() => setAdopting(null)} />}
    </>
  )
}

function OneDomain({ found, onAdopt }: { found: Found; onAdopt: (found: Found) => void }) {
  const { t } = useTranslation()
  const may = useMay("operator")
  const { name, state, model, refusal } = found.status
  return (
    <li>
      <Card isCompact>
        <CardBody className="found-one">
          <strong className="name" dir="auto" title={name}>
            {name}
          </strong>
          <Phase phase={state} />
          {model && (
            <span className="overview-quiet">
              {model.cpus} {t("col.cpus")} · {bytes(model.memory_bytes)} · {t("nodes.found.disks")}{" "}
              {model.disks.length} · {t("nodes.found.nics")} {model.nics.length}
            </span>
          )}
          {refusal && <span>{t("nodes.found.cannot", refusal)}</span>}
          {model && !refusal && may && (
            <Button variant="secondary" size="sm" className="found-button" onClick={() => onAdopt(found)}>
              {t("nodes.found.adopt_of", { name })} …
            </Button>
          )}
        </CardBody>
      </Card>
    </li>
  )
}

function Adopt({ found, onClose }: { found: Found; onClose: () => void }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [name, setName] = useState("")
  const [busy, setBusy] = useState(false)
  const { preview, trouble } = usePreview(found.id, name)
  const path = `/api/v1/found-domains/${found.id}/adopt`
  const body = name ? { name } : {}

  const adopt = async () => {
    setBusy(true)
    const operation = await ask({
      verb: t("nodes.verb.adopt"),
      name: name || preview?.vm.name || found.status.name,
      method: "POST",
      path,
      body,
    })
    setBusy(false)
    if (operation) onClose()
  }

  return (
    <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="adopt-title">
      <ModalHeader title={t("nodes.found.adopt_of", { name: found.status.name })} labelId="adopt-title" />
      <ModalBody>
        <div className="page-part">
          <FormGroup label={t("nodes.found.name")} fieldId="adopt-name">
            <TextInput
              id="adopt-name"
              value={name}
              placeholder={preview?.vm.name ?? ""}
              onChange={(_, value) => setName(value.trim())}
            />
          </FormGroup>
          <Trouble of={trouble} />
          {!preview && !trouble && <Spinner size="md" aria-label={t("state.loading")} />}
          {preview && !trouble && <Preview of={preview} />}
          <Equivalent
            command={`corral vm adopt ${found.spec.uuid} --node ${found.spec.node}${name ? ` --name ${quote(name)}` : ""}`}
            call={{ method: "POST", path, body }}
          />
        </div>
      </ModalBody>
      <ModalFooter>
        <Button isLoading={busy} isDisabled={busy || !preview || trouble !== null} onClick={adopt}>
          {t("nodes.verb.adopt")}
        </Button>
        <Button variant="link" onClick={onClose}>
          {t("action.cancel")}
        </Button>
      </ModalFooter>
    </Modal>
  )
}

function Preview({ of: { vm, volumes, ports, networks, kept } }: { of: Schemas["Adoption"] }) {
  const { t } = useTranslation()
  const rows: [string, string[]][] = [
    [t("nodes.found.vm"), [`${vm.name}: ${vm.spec.cpus} ${t("col.cpus")}, ${bytes(vm.spec.memory_bytes)}`]],
    [t("nodes.found.volumes"), volumes.map(v => `${v.name} ${bytes(v.spec.size_bytes)}`)],
    [t("nodes.found.ports"), ports.map(p => `${p.spec.mac}`)],
    [t("nodes.found.networks"), networks.map(n => n.name)],
    [t("nodes.found.kept"), [...kept]],
  ]
  return (
    <section aria-label={t("nodes.found.preview")}>
      <DescriptionList isHorizontal isCompact>
        {rows
          .filter(([, lines]) => lines.length > 0)
          .map(([term, lines]) => (
            <DescriptionListGroup key={term}>
              <DescriptionListTerm>{term}</DescriptionListTerm>
              <DescriptionListDescription>
                <ul>
                  {lines.map(line => (
                    <li key={line} dir="auto">
                      {line}
                    </li>
                  ))}
                </ul>
              </DescriptionListDescription>
            </DescriptionListGroup>
          ))}
      </DescriptionList>
      {kept.length > 0 && <p className="overview-quiet">{t("nodes.found.kept_note")}</p>}
    </section>
  )
}

type Previewed = { preview: Schemas["Adoption"] | null; trouble: Problem | null }

function usePreview(id: string, name: string): Previewed {
  const [seen, setSeen] = useState<Previewed>({ preview: null, trouble: null })
  useEffect(() => {
    let over = false
    const timer = setTimeout(async () => {
      try {
        const path = `/api/v1/found-domains/${id}/preview`
        const preview = await send<Schemas["Adoption"]>("POST", path, name ? { name } : {})
        if (!over) setSeen({ preview, trouble: null })
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        if (!over) setSeen(before => ({ ...before, trouble: error }))
      }
    }, SETTLE_MS)
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [id, name])
  return seen
}
