/**
 * Resource asks: the requests that all kinds know: other labels, and deletion.
 *
 * In this room   Doing, the buttons and menu of a resource; LabelsDialog; DeleteDialog
 * Always true    who may not change anything sees no button for it; the server has the last word
 */
import { Button, Dropdown, DropdownItem, DropdownList, MenuToggle } from "@patternfly/react-core"
import { EllipsisVIcon } from "@patternfly/react-icons"
import { type ReactNode, useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { useAsk } from "../api/asks"
import { type Kind, onePath, type Resource } from "../api/kinds"
import { type Session, useMay } from "../session/session"
import { Confirm } from "./confirm"
import { labelsOf, labelsText } from "./fields"
import { AskDialog } from "./form"

export type Deed = {
  key: string
  title: string
  /** the dialog that it opens */
  dialog: (close: () => void) => ReactNode
  /** shown as a button, not in the menu */
  first?: boolean
  /** a button beside the main one */
  second?: boolean
  danger?: boolean
}

/** What can be done, the most usual as buttons, the rest as a menu. */
export function Doing({
  deeds,
  name = "",
  least = "operator",
}: {
  deeds: Deed[]
  name?: string
  /** role that may */
  least?: Session["role"]
}) {
  const { t } = useTranslation()
  const may = useMay(least)
  const [open, setOpen] = useState(false)
  const [doing, setDoing] = useState("")
  if (!may) return null
  const rest = deeds.filter(deed => !deed.first)
  return (
    <>
      {deeds
        .filter(deed => deed.first)
        .map(deed => (
          <Button
            key={deed.key}
            variant={deed.danger ? "danger" : deed.second ? "secondary" : "primary"}
            onClick={() => setDoing(deed.key)}
          >
            {deed.title}
          </Button>
        ))}
      {rest.length > 0 && (
        <Dropdown
          isOpen={open}
          onOpenChange={setOpen}
          onSelect={() => setOpen(false)}
          popperProps={{ position: "end" }}
          toggle={ref => (
            <MenuToggle
              ref={ref}
              variant="plain"
              aria-label={name ? `${t("action.more")}: ${name}` : t("action.more")}
              isExpanded={open}
              onClick={() => setOpen(!open)}
              icon={<EllipsisVIcon />}
            />
          )}
        >
          <DropdownList>
            {rest.map(deed => (
              <DropdownItem key={deed.key} isDanger={deed.danger ?? false} onClick={() => setDoing(deed.key)}>
                {deed.title}
              </DropdownItem>
            ))}
          </DropdownList>
        </Dropdown>
      )}
      {deeds.find(deed => deed.key === doing)?.dialog(() => setDoing(""))}
    </>
  )
}

type Of = { kind: Kind; of: Resource; close: () => void }

export function LabelsDialog({ kind, of, close }: Of) {
  const { t } = useTranslation()
  return (
    <AskDialog
      title={t("resource.labels_title", { name: of.name })}
      verb={t("resource.labels")}
      name={of.name}
      fields={[
        {
          name: "labels",
          label: t("col.labels"),
          kind: "text",
          help: t("resource.labels_help"),
          initial: labelsText(of.labels),
        },
      ]}
      request={values => ({
        method: "PATCH",
        path: onePath(kind, of.id),
        body: { labels: labelsOf(String(values.labels)) },
        ifMatch: of.revision,
      })}
      onClose={close}
    />
  )
}

type DeleteProps = Of & {
  /** what it means, in words */
  children: ReactNode
  verb?: string
  /** behind the path: "?purge=true" */
  query?: string
  /** where to go when it was asked for */
  then?: string
}

export function DeleteDialog({ kind, of, close, children, verb, query = "", then }: DeleteProps) {
  const { t } = useTranslation()
  const ask = useAsk()
  const [, go] = useLocation()
  const word = verb ?? t("action.delete")
  const sure = async () => {
    const path = `${onePath(kind, of.id)}${query}`
    const answer = await ask({ verb: word, name: of.name, method: "DELETE", path, ifMatch: of.revision })
    if (answer && then) go(then)
  }
  return (
    <Confirm
      title={t("resource.delete_title", { verb: word, name: of.name })}
      verb={word}
      name={of.name}
      onConfirm={sure}
      onClose={close}
    >
      {children}
    </Confirm>
  )
}

/** Labels and deletion: what every kind ends its menu with. */
export function useUsualDeeds(kind: Kind, of: Resource, warning: string, labels = true): Deed[] {
  const { t } = useTranslation()
  const deeds: Deed[] = [
    {
      key: "delete",
      title: t("action.delete"),
      danger: true,
      dialog: close => (
        <DeleteDialog kind={kind} of={of} close={close} then="/">
          {warning}
        </DeleteDialog>
      ),
    },
  ]
  if (labels)
    deeds.unshift({
      key: "labels",
      title: t("resource.labels"),
      dialog: close => <LabelsDialog kind={kind} of={of} close={close} />,
    })
  return deeds
}

type EditedProps = { kind: Kind; of: Resource; warning: string; edit: (close: () => void) => ReactNode }

/** What can be done with most kinds: edit it, label it, delete it by its name. */
export function EditedDoing({ kind, of, warning, edit }: EditedProps) {
  const { t } = useTranslation()
  const usual = useUsualDeeds(kind, of, warning)
  const deed: Deed = { key: "edit", title: t("action.edit"), first: true, dialog: edit }
  return <Doing name={of.name} deeds={[deed, ...usual]} />
}
