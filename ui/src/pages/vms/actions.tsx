/** Actions: what can be asked of one VM; what destroys something asks for its name first. */
import { Button, Checkbox, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core"
import { EllipsisVIcon } from "@patternfly/react-icons"
import { useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useAsk } from "../../api/asks"
import { useAll } from "../../api/cache"
import type { VM } from "../../api/kinds"
import { quote } from "../../parts/code"
import { Confirm } from "../../parts/confirm"
import { bodyOf, type Field } from "../../parts/fields"
import { AskDialog } from "../../parts/form"
import { Migrate } from "./migrate"
import { makesSense, requestFor, type Verb } from "./verbs"

type Open = "kill" | "delete" | "migrate" | "clone" | "rename" | "resize" | null

export function Actions({ vm }: { vm: VM }) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [menu, setMenu] = useState(false)
  const [open, setOpen] = useState<Open>(null)
  const phase = vm.status?.phase ?? ""
  const close = () => setOpen(null)
  const now = (verb: Verb) => () =>
    void ask({ verb: t(`vms.do.${verb}`), name: vm.name, ...requestFor(verb, vm) })
  const first: Verb[] = (["start", "resume", "stop", "restart"] as const).filter(v => makesSense(v, phase))
  return (
    <>
      {first.map(verb => (
        <Button
          key={verb}
          variant={verb === "start" || verb === "resume" ? "primary" : "secondary"}
          onClick={now(verb)}
        >
          {t(`vms.do.${verb}`)}
        </Button>
      ))}
      <Button
        variant="secondary"
        isDisabled={!makesSense("migrate", phase)}
        onClick={() => setOpen("migrate")}
      >
        {t("vms.do.migrate")}
      </Button>
      <Dropdown
        isOpen={menu}
        onOpenChange={setMenu}
        onSelect={() => setMenu(false)}
        popperProps={{ position: "right" }}
        toggle={ref => (
          <MenuToggle
            ref={ref}
            variant="plain"
            aria-label={t("action.more")}
            isExpanded={menu}
            onClick={() => setMenu(!menu)}
          >
            <EllipsisVIcon />
          </MenuToggle>
        )}
      >
        <DropdownList>
          {(["pause", "suspend"] as const).map(verb => (
            <DropdownItem key={verb} isDisabled={!makesSense(verb, phase)} onClick={now(verb)}>
              {t(`vms.do.${verb}`)}
            </DropdownItem>
          ))}
          <DropdownItem key="kill" isDisabled={!makesSense("kill", phase)} onClick={() => setOpen("kill")}>
            {t("vms.do.kill")}
          </DropdownItem>
          {(["resize", "rename", "clone"] as const).map(each => (
            <DropdownItem key={each} onClick={() => setOpen(each)}>
              {t(`vms.do.${each}`)}
            </DropdownItem>
          ))}
          <DropdownItem key="delete" isDanger onClick={() => setOpen("delete")}>
            {t("vms.do.delete")}
          </DropdownItem>
        </DropdownList>
      </Dropdown>
      {open === "kill" && (
        <Confirm
          title={t("vms.do.kill")}
          verb={t("vms.do.kill")}
          onConfirm={() => ask({ verb: t("vms.do.kill"), name: vm.name, ...requestFor("kill", vm) })}
          onClose={close}
        >
          <p>{t("vms.kill_warning", { name: vm.name })}</p>
        </Confirm>
      )}
      {open === "delete" && <Delete vm={vm} onClose={close} />}
      {open === "migrate" && <Migrate vm={vm} onClose={close} />}
      {open === "clone" && <Clone vm={vm} onClose={close} />}
      {open === "rename" && <Rename vm={vm} onClose={close} />}
      {open === "resize" && <Resize vm={vm} onClose={close} />}
    </>
  )
}

type DialogProps = { vm: VM; onClose: () => void }

function Delete({ vm, onClose }: DialogProps) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [, go] = useLocation()
  const [keep, setKeep] = useState(false)
  const [purge, setPurge] = useState(false)
  const remove = async () => {
    const words = `${keep ? "keep_volumes=true" : ""}${purge && !keep ? "purge=true" : ""}`
    const path = `/api/v1/vms/${vm.id}${words ? `?${words}` : ""}`
    const asked = await ask({ verb: t("vms.do.delete"), name: vm.name, method: "DELETE", path })
    if (asked) go("/")
  }
  return (
    <Confirm
      title={t("vms.do.delete")}
      verb={t("vms.do.delete")}
      name={vm.name}
      onConfirm={remove}
      onClose={onClose}
    >
      <p>{t("vms.delete_warning", { name: vm.name })}</p>
      <Checkbox id="keep" label={t("vms.keep_volumes")} isChecked={keep} onChange={(_, on) => setKeep(on)} />
      <Checkbox
        id="purge"
        label={t("vms.purge")}
        isChecked={purge && !keep}
        isDisabled={keep}
        onChange={(_, on) => setPurge(on)}
      />
    </Confirm>
  )
}

function Rename({ vm, onClose }: DialogProps) {
  const { t } = useTranslation()
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, initial: vm.name },
  ]
  return (
    <AskDialog
      title={t("vms.do.rename")}
      verb={t("vms.do.rename")}
      name={vm.name}
      fields={fields}
      request={values => ({
        method: "PATCH",
        path: `/api/v1/vms/${vm.id}`,
        body: bodyOf(fields, values),
        ifMatch: vm.revision,
      })}
      command={values => `corral vm rename ${quote(vm.name)} ${quote(String(values.name))}`}
      onClose={onClose}
    />
  )
}

function Resize({ vm, onClose }: DialogProps) {
  const { t } = useTranslation()
  const fields: Field[] = [
    { name: "cpus", label: t("col.cpus"), kind: "number", initial: String(vm.spec?.cpus ?? "") },
    {
      name: "memory",
      label: t("col.memory"),
      kind: "size",
      initial: `${Math.round((vm.spec?.memory_bytes ?? 0) / 1024 ** 2)}MiB`,
      help: t("vms.new.memory_help"),
    },
  ]
  return (
    <AskDialog
      title={t("vms.do.resize")}
      verb={t("vms.do.resize")}
      name={vm.name}
      fields={fields}
      request={values => ({
        method: "PATCH",
        path: `/api/v1/vms/${vm.id}`,
        body: bodyOf(fields, values),
        ifMatch: vm.revision,
      })}
      command={values =>
        `corral vm set ${quote(vm.name)} --cpus ${values.cpus} --memory ${quote(String(values.memory))}`
      }
      onClose={onClose}
    >
      <p>{t("vms.hardware.resize_note")}</p>
    </AskDialog>
  )
}

function Clone({ vm, onClose }: DialogProps) {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const pools = useAll("StoragePool").data?.items ?? []
  const fields: Field[] = [
    { name: "name", label: t("col.name"), kind: "text", required: true, initial: `${vm.name}-2` },
    { name: "full", label: t("vms.clone.full"), kind: "check" },
    {
      name: "pool",
      label: t("vms.new.pool"),
      kind: "choice",
      choices: [
        { value: "", label: t("vms.hardware.any_pool") },
        ...pools.map(p => ({ value: p.name, label: p.name })),
      ],
    },
    { name: "running", label: t("vms.clone.start"), kind: "check", initial: true },
  ]
  return (
    <AskDialog
      title={t("vms.clone.title", { name: vm.name })}
      verb={t("vms.do.clone")}
      name={vm.name}
      fields={fields}
      request={values => ({
        method: "POST",
        path: `/api/v1/vms/${vm.id}/clone`,
        body: bodyOf(fields, values),
      })}
      command={values => `corral vm clone ${quote(vm.name)} ${quote(String(values.name))}`}
      onDone={operation => operation.spec?.target?.id && go(`/${operation.spec.target.id}`)}
      onClose={onClose}
    />
  )
}
