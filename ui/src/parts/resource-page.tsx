/**
 * Resource page: the page of one resource of any kind: its name, what can be done, its parts, its manifest.
 *
 * Always true    what was deleted while it was looked at stays on screen and says so
 * Next door      resource-list.tsx is the list; resource-asks.tsx has the dialogs that all kinds share
 */
import { Alert, Bullseye, Spinner } from "@patternfly/react-core"
import type { ReactNode } from "react"
import { useTranslation } from "react-i18next"
import { useParams } from "wouter"
import { useOne } from "../api/cache"
import { Problem } from "../api/client"
import type { Kind } from "../api/kinds"
import { Page } from "./page"
import type { RowOf } from "./resource-list"
import { type PagePart, PageTabs } from "./tabs"
import { Gone, Trouble } from "./trouble"
import { YamlEditor } from "./yaml-editor"

type Props<K extends Kind> = {
  kind: K
  /** of the list: [title, address] */
  above: [string, string]
  aside?: (of: RowOf<K>) => ReactNode
  actions?: (of: RowOf<K>) => ReactNode
  parts: (of: RowOf<K>) => PagePart[]
  /** its manifest is the last part */
  yaml?: boolean
  title?: (of: RowOf<K>) => string
}

export function ResourcePage<K extends Kind>(props: Props<K>) {
  const { kind, above, aside, actions, parts, yaml = false, title } = props
  const { t } = useTranslation()
  const { id = "", part = "" } = useParams<{ id: string; part?: string }>()
  const name = decodeURIComponent(id)
  const found = useOne(kind, name)
  const of = found.data as RowOf<K> | undefined

  if (found.error instanceof Problem && found.error.details.status === 404 && !of) return <Gone name={name} />
  if (found.error && !of) return <Trouble of={found.error} onRetry={() => void found.refetch()} />
  if (!of)
    return (
      <Bullseye>
        <Spinner aria-label={t("state.loading")} />
      </Bullseye>
    )
  const gone = !!of.deleted_at
  const all = parts(of)
  if (yaml)
    all.push({
      key: "yaml",
      title: t("yaml.title"),
      body: () => <YamlEditor kind={kind} id={of.id} name={of.name} revision={of.revision} />,
    })
  return (
    <Page
      title={title?.(of) ?? of.name}
      above={[above]}
      aside={aside?.(of)}
      actions={gone ? undefined : actions?.(of)}
    >
      {gone && <Alert isInline variant="warning" title={t("state.gone", { name: of.name })} />}
      {all.length > 1 ? (
        <PageTabs base={`/${id}`} parts={all} active={part} label={of.name} />
      ) : (
        <div className="page-part">{all[0]?.body()}</div>
      )}
    </Page>
  )
}
