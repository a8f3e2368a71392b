/** Filter bar: what of the VMs is shown, and views of them that somebody saved. */
import {
  Button,
  Dropdown,
  DropdownItem,
  DropdownList,
  FormSelect,
  FormSelectOption,
  MenuToggle,
  Modal,
  ModalBody,
  ModalFooter,
  ModalHeader,
  SearchInput,
  TextInput,
} from "@patternfly/react-core"
import { useEffect, useState } from "react"
import { useTranslation } from "react-i18next"
import { phaseText } from "../../text"
import {
  type Filters,
  fromAddress,
  isFiltered,
  keepViews,
  NO_FILTERS,
  readViews,
  toAddress,
  withView,
} from "./filters"

const PHASES = [
  "running",
  "stopped",
  "paused",
  "suspended",
  "pending",
  "preparing",
  "starting",
  "stopping",
  "migrating",
  "failed",
  "unknown",
  "deleting",
]
const TYPED_MS = 250

type Props = { filters: Filters; nodes: ReadonlyMap<string, string>; onChange: (next: Filters) => void }

export function FilterBar({ filters, nodes, onChange }: Props) {
  const { t } = useTranslation()
  const set = (key: keyof Filters) => (value: string) => onChange({ ...filters, [key]: value })
  return (
    <search className="row filters">
      <Typed label={t("list.search")} value={filters.name} onChange={set("name")} search />
      <FormSelect
        aria-label={t("col.phase")}
        value={filters.phase}
        onChange={(_, value) => set("phase")(value)}
        className="narrow"
      >
        <FormSelectOption value="" label={t("vms.filter.phase")} />
        {PHASES.map(phase => (
          <FormSelectOption key={phase} value={phase} label={phaseText(t, phase)} />
        ))}
      </FormSelect>
      {nodes.size <= 500 && (
        <FormSelect
          aria-label={t("col.node")}
          value={filters.node}
          onChange={(_, value) => set("node")(value)}
          className="narrow"
        >
          <FormSelectOption value="" label={t("vms.filter.node")} />
          {[...nodes]
            .sort((a, b) => a[1].localeCompare(b[1]))
            .map(([id, name]) => (
              <FormSelectOption key={id} value={id} label={name} />
            ))}
        </FormSelect>
      )}
      <Typed label={t("vms.filter.label")} value={filters.label} onChange={set("label")} />
      <Typed label={t("vms.filter.expression")} value={filters.expression} onChange={set("expression")} />
      {isFiltered(filters) && (
        <Button variant="link" onClick={() => onChange({ ...NO_FILTERS, sort: filters.sort })}>
          {t("action.clear")}
        </Button>
      )}
      <Views filters={filters} onChange={onChange} />
    </search>
  )
}

type TypedProps = { label: string; value: string; search?: boolean; onChange: (value: string) => void }

/** An input that tells its value when the typing pauses. */
function Typed({ label, value, search, onChange }: TypedProps) {
  const [text, setText] = useState(value)
  useEffect(() => setText(value), [value])
  useEffect(() => {
    if (text === value) return
    const timer = setTimeout(() => onChange(text.trim()), TYPED_MS)
    return () => clearTimeout(timer)
  }, [text, value, onChange])
  const words = { "aria-label": label, placeholder: label, value: text }
  return search ? (
    <SearchInput {...words} onChange={(_, typed) => setText(typed)} onClear={() => setText("")} />
  ) : (
    <TextInput {...words} className="middle" onChange={(_, typed) => setText(typed)} />
  )
}

function Views({ filters, onChange }: { filters: Filters; onChange: (next: Filters) => void }) {
  const { t } = useTranslation()
  const [open, setOpen] = useState(false)
  const [views, setViews] = useState(readViews)
  const [naming, setNaming] = useState<string | null>(null)
  const keep = (next: typeof views) => {
    keepViews(next)
    setViews(next)
  }
  const save = () => {
    if (naming?.trim()) keep(withView(views, { name: naming.trim(), search: toAddress(filters) }))
    setNaming(null)
  }
  return (
    <>
      <Dropdown
        isOpen={open}
        onOpenChange={setOpen}
        toggle={ref => (
          <MenuToggle ref={ref} isExpanded={open} onClick={() => setOpen(!open)}>
            {t("vms.filter.views")}
          </MenuToggle>
        )}
      >
        <DropdownList>
          {views.length === 0 && (
            <DropdownItem key="none" isDisabled>
              {t("vms.filter.no_views")}
            </DropdownItem>
          )}
          {views.map(view => (
            <DropdownItem
              key={view.name}
              onClick={() => {
                onChange(fromAddress(view.search))
                setOpen(false)
              }}
            >
              {view.name}
            </DropdownItem>
          ))}
          <DropdownItem
            key="save"
            onClick={() => {
              setNaming("")
              setOpen(false)
            }}
          >
            {t("vms.filter.save")}
          </DropdownItem>
          {views.map(view => (
            <DropdownItem key={`forget-${view.name}`} onClick={() => keep(views.filter(v => v !== view))}>
              {t("vms.filter.forget", { name: view.name })}
            </DropdownItem>
          ))}
        </DropdownList>
      </Dropdown>
      {naming !== null && (
        <Modal isOpen variant="small" onClose={() => setNaming(null)} aria-labelledby="view-title">
          <ModalHeader title={t("vms.filter.save")} labelId="view-title" />
          <ModalBody>
            <TextInput
              autoFocus
              aria-label={t("vms.filter.view_name")}
              placeholder={t("vms.filter.view_name")}
              value={naming}
              onChange={(_, text) => setNaming(text)}
              onKeyDown={event => event.key === "Enter" && save()}
            />
          </ModalBody>
          <ModalFooter>
            <Button isDisabled={!naming.trim()} onClick={save}>
              {t("action.save")}
            </Button>
          </ModalFooter>
        </Modal>
      )}
    </>
  )
}
