/** Noun list: the page of a kind whose list and new ones need nothing of their own: columns, a form, a command. */
import { type ReactNode, useMemo } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import type { Kind } from "../api/kinds"
import { Page } from "./page"
import { Doing } from "./resource-asks"
import { ResourceList, type RowOf } from "./resource-list"
import { createdColumn, labelsColumn, nameColumn, nameWanted } from "./usual-columns"
import type { Column } from "./virtual-table"

type Props<K extends Kind> = {
  kind: K
  title: string
  /** of the button */
  create: string
  dialog: (close: () => void) => ReactNode
  /** between the name and the labels */
  columns: Column<RowOf<K>>[]
  empty: string
  /** above the list */
  children?: ReactNode
  /** role that may change anything */
  least?: "operator" | "admin"
  /** without: rows have no page of their own */
  opens?: boolean
}

export function NounList<K extends Kind>(props: Props<K>) {
  const { kind, title, create, dialog, columns, empty, children, least = "operator", opens = true } = props
  const { t } = useTranslation()
  const [, go] = useLocation()
  const wanted = useMemo(() => [nameWanted(t)], [t])
  const all = useMemo<Column<RowOf<K>>[]>(
    () =>
      opens ? [nameColumn(t), ...columns, labelsColumn(t), createdColumn(t)] : [...columns, createdColumn(t)],
    [t, columns, opens],
  )
  const button = <Doing deeds={[{ key: "create", title: create, first: true, dialog }]} least={least} />
  return (
    <Page title={title} actions={button}>
      {children}
      <ResourceList
        kind={kind}
        label={title}
        columns={all}
        wanted={wanted}
        empty={empty}
        emptyAction={button}
        {...(opens ? { onOpen: (of: RowOf<K>) => go(`/${of.id}`) } : {})}
      />
    </Page>
  )
}
