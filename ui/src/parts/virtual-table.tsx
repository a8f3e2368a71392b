/**
 * Virtual table: a table of any length of which only the rows on screen are drawn.
 *
 * Comes in       columns, the number of rows, and a function that gives a row (undefined: not read yet)
 * Always true    every row is equally high; the keyboard moves a row at a time, a screen, or to the ends; a screen
 *                reader is told how many rows there are and which one this is
 * Next door      api/cache.ts useWindow() gives the rows
 */
import { useVirtualizer } from "@tanstack/react-virtual"
import { type KeyboardEvent, memo, type ReactNode, useEffect, useRef } from "react"
import { useTranslation } from "react-i18next"
import "./virtual-table.css"

export type Column<T> = {
  key: string
  title: string
  /** of CSS grid: "minmax(8rem, 2fr)" */
  width: string
  cell: (row: T) => ReactNode
  /** field of the API's `sort`; without it the column can't be sorted by */
  sort?: string
  align?: "end"
}

type Props<T> = {
  label: string
  columns: Column<T>[]
  total: number
  row: (index: number) => T | undefined
  rowKey: (row: T) => string
  onRange: (first: number, last: number) => void
  sort?: string
  onSort?: (sort: string) => void
  selected?: ReadonlySet<string>
  onSelect?: (row: T, chosen: boolean, range: boolean) => void
  onOpen?: (row: T) => void
}

const ROW_PX = 40
const OVERSCAN = 8
const RECYCLED = 128 // more than are ever drawn: a row that scrolls out is filled anew, not made anew

export function VirtualTable<T>(props: Props<T>) {
  const { label, columns, total, row, rowKey, onRange, sort, onSort, selected, onSelect, onOpen } = props
  const { t } = useTranslation()
  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: OVERSCAN,
  })
  const rows = virtual.getVirtualItems()
  const first = rows[0]?.index ?? 0
  const last = rows.at(-1)?.index ?? 0
  useEffect(() => onRange(first, last), [first, last, onRange])

  const template = `${onSelect ? "2.5rem " : ""}${columns.map(c => c.width).join(" ")}`

  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const at = Number((event.target as HTMLElement).closest<HTMLElement>("[data-index]")?.dataset.index ?? -1)
    const screen = Math.max(1, Math.floor((scroller.current?.clientHeight ?? ROW_PX) / ROW_PX) - 1)
    const steps: Record<string, number> = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + screen,
      PageUp: at - screen,
      Home: 0,
      End: total - 1,
    }
    const to = steps[event.key]
    if (to === undefined || (event.target as HTMLElement).tagName === "INPUT") return
    event.preventDefault()
    const index = Math.min(total - 1, Math.max(0, to))
    virtual.scrollToIndex(index)
    requestAnimationFrame(() =>
      requestAnimationFrame(() =>
        scroller.current?.querySelector<HTMLElement>(`[data-index="${index}"]`)?.focus(),
      ),
    )
  }

  return (
    <div
      ref={scroller}
      className="vtable"
      role="grid"
      aria-label={label}
      aria-rowcount={total + 1}
      tabIndex={-1}
      onKeyDown={onKey}
    >
      <div
        className="vtable-head"
        role="row"
        aria-rowindex={1}
        style={{ gridTemplateColumns: template }}
        tabIndex={-1}
      >
        {onSelect && <span role="columnheader" aria-label={t("col.actions")} tabIndex={-1} />}
        {columns.map(column => (
          <Heading key={column.key} column={column} sort={sort} onSort={onSort} />
        ))}
      </div>
      <div className="vtable-body" style={{ blockSize: virtual.getTotalSize() }} role="rowgroup">
        {rows.map(place => {
          const data = row(place.index)
          const key = data === undefined ? `empty-${place.index}` : rowKey(data)
          return (
            <Row
              key={place.index % RECYCLED}
              index={place.index}
              top={place.start}
              template={template}
              columns={columns}
              data={data}
              id={key}
              chosen={selected?.has(key) ?? false}
              onSelect={onSelect}
              onOpen={onOpen}
            />
          )
        })}
      </div>
    </div>
  )
}

type HeadingProps<T> = {
  column: Column<T>
  sort?: string | undefined
  onSort?: ((sort: string) => void) | undefined
}

function Heading<T>({ column, sort, onSort }: HeadingProps<T>) {
  const up = sort === column.sort
  const down = sort === `-${column.sort}`
  if (!column.sort || !onSort)
    return (
      <span role="columnheader" tabIndex={-1} className={column.align === "end" ? "end" : ""}>
        {column.title}
      </span>
    )
  return (
    <span
      role="columnheader"
      tabIndex={-1}
      aria-sort={up ? "ascending" : down ? "descending" : "none"}
      className={column.align === "end" ? "end" : ""}
    >
      <button type="button" onClick={() => onSort(up ? `-${column.sort}` : (column.sort as string))}>
        {column.title} <span aria-hidden>{up ? "▲" : down ? "▼" : ""}</span>
      </button>
    </span>
  )
}

type RowProps<T> = {
  index: number
  top: number
  template: string
  columns: Column<T>[]
  data: T | undefined
  id: string
  chosen: boolean
  onSelect: Props<T>["onSelect"]
  onOpen: Props<T>["onOpen"]
}

function OneRow<T>({ index, top, template, columns, data, id, chosen, onSelect, onOpen }: RowProps<T>) {
  return (
    <div
      className={`vtable-row${chosen ? " chosen" : ""}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={onSelect ? chosen : undefined}
      data-index={index}
      data-id={id}
      tabIndex={0}
      style={{ gridTemplateColumns: template, transform: `translateY(${top}px)`, blockSize: ROW_PX }}
      onKeyDown={event => {
        if (data === undefined || event.target !== event.currentTarget) return
        if (event.key === "Enter") onOpen?.(data)
        else if (event.key === " " && onSelect) {
          event.preventDefault()
          onSelect(data, !chosen, event.shiftKey)
        }
      }}
    >
      {onSelect && (
        <span role="gridcell" tabIndex={-1}>
          {data !== undefined && (
            <input
              type="checkbox"
              aria-label={id}
              checked={chosen}
              onChange={event =>
                onSelect(data, event.target.checked, (event.nativeEvent as MouseEvent).shiftKey === true)
              }
            />
          )}
        </span>
      )}
      {columns.map(column => (
        <span
          key={column.key}
          role="gridcell"
          tabIndex={-1}
          data-column={column.key}
          className={column.align === "end" ? "end" : ""}
        >
          {data === undefined ? <span className="vtable-blank" aria-hidden /> : column.cell(data)}
        </span>
      ))}
    </div>
  )
}

const Row = memo(OneRow) as typeof OneRow
