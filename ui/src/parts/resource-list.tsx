/**
 * Resource list: the page of any kind: a table of any length, what is looked for in it, what can be done with a row.
 *
 * Comes in       columns and conditions as data; rows by api/cache.ts, live
 * Always true    what is looked for stands in the address; an empty list says what to do about it
 * Next door      virtual-table.tsx draws; conditions.ts has what is not drawn
 */
import {
  Button,
  EmptyState,
  EmptyStateActions,
  EmptyStateBody,
  EmptyStateFooter,
  FormSelect,
  FormSelectOption,
  SearchInput,
} from "@patternfly/react-core"
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from "react"
import { useTranslation } from "react-i18next"
import { useLocation, useSearch } from "wouter"
import { useWindow } from "../api/cache"
import type { Kind, Of, Resource } from "../api/kinds"
import { count } from "../look/format"
import { addressOf, type Chosen, chosenIn, isWanted, queryOf, type Wanted } from "./conditions"
import { Trouble } from "./trouble"
import { type Column, VirtualTable } from "./virtual-table"
import "./resources.css"

const TYPED_MS = 250

export type RowOf<K extends Kind> = Resource & Of<K>

type Props<K extends Kind> = {
  kind: K
  label: string
  columns: Column<RowOf<K>>[]
  wanted?: Wanted[]
  /** condition that always holds */
  always?: string
  /** order where nobody has chosen one; -field: the other way round */
  sort?: string
  /** said where there is nothing at all */
  empty: string
  emptyAction?: ReactNode
  onOpen?: (row: RowOf<K>) => void
}

export function ResourceList<K extends Kind>(props: Props<K>) {
  const { kind, label, columns, wanted = [], always = "", sort: usual = "name", empty, onOpen } = props
  const { t } = useTranslation()
  const search = useSearch()
  const [, go] = useLocation()
  const chosen = useMemo(() => chosenIn(wanted, search), [wanted, search])
  const sort = new URLSearchParams(search).get("sort") ?? usual
  const [range, setRange] = useState({ first: 0, last: 40 })
  const rows = useWindow(kind, queryOf(wanted, chosen, sort, always), range.first, range.last)
  const onRange = useCallback((first: number, last: number) => setRange({ first, last }), [])

  const show = (next: Chosen, order = sort) => {
    const words = addressOf(next, order, usual)
    go(`~${window.location.pathname}${words && "?"}${words}`, { replace: true })
  }
  const none = rows.total === 0 && !rows.loading && !rows.error

  return (
    <>
      <search className="list-tools" aria-label={t("action.filter")}>
        {wanted.map(one => (
          <Condition
            key={one.key}
            of={one}
            value={chosen[one.key] ?? ""}
            onChange={value => show({ ...chosen, [one.key]: value })}
          />
        ))}
        {isWanted(chosen) && (
          <Button variant="link" onClick={() => show({})}>
            {t("action.clear")}
          </Button>
        )}
        <span className="list-count" role="status">
          {t("list.rows", { count: rows.total, defaultValue: count(rows.total) })}
        </span>
      </search>
      <Trouble of={rows.error} />
      {none ? (
        <EmptyState headingLevel="h2" titleText={isWanted(chosen) ? t("list.no_match") : t("state.empty")}>
          <EmptyStateBody>{isWanted(chosen) ? t("list.no_match_hint") : empty}</EmptyStateBody>
          {!isWanted(chosen) && props.emptyAction && (
            <EmptyStateFooter>
              <EmptyStateActions>{props.emptyAction}</EmptyStateActions>
            </EmptyStateFooter>
          )}
        </EmptyState>
      ) : (
        <VirtualTable
          label={label}
          columns={columns}
          total={rows.total}
          row={rows.row}
          rowKey={row => row.id}
          onRange={onRange}
          sort={sort}
          onSort={order => show(chosen, order)}
          {...(onOpen ? { onOpen } : {})}
        />
      )}
    </>
  )
}

type ConditionProps = { of: Wanted; value: string; onChange: (value: string) => void }

function Condition({ of, value, onChange }: ConditionProps) {
  const { t } = useTranslation()
  if (of.choices)
    return (
      <FormSelect
        className="list-choice"
        aria-label={of.label}
        value={value}
        onChange={(_, next) => onChange(next)}
      >
        <FormSelectOption value="" label={`${of.label}: ${t("resource.any")}`} />
        {of.choices.map(choice => (
          <FormSelectOption key={choice.value} value={choice.value} label={choice.label} />
        ))}
      </FormSelect>
    )
  return <TypedCondition of={of} value={value} onChange={onChange} />
}

/** Looked for a moment after the last key, so that the list does not jump at every letter. */
function TypedCondition({ of, value, onChange }: ConditionProps) {
  const [text, setText] = useState(value)
  const latest = useRef(onChange)
  latest.current = onChange
  useEffect(() => setText(value), [value])
  useEffect(() => {
    if (text === value) return
    const timer = setTimeout(() => latest.current(text), TYPED_MS)
    return () => clearTimeout(timer)
  }, [text, value])
  return (
    <SearchInput
      className="list-search"
      aria-label={of.label}
      placeholder={of.label}
      value={text}
      onChange={(_, next) => setText(next)}
      onClear={() => setText("")}
    />
  )
}
