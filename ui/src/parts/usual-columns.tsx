/** Usual columns: name, labels and age, which the list of every kind has. */
import type { TFunction } from "i18next"
import { Link } from "wouter"
import type { Resource } from "../api/kinds"
import { ago, moment } from "../look/format"
import type { Wanted } from "./conditions"
import { labelsText } from "./fields"
import type { Column } from "./virtual-table"

export function nameColumn<T extends Resource>(t: TFunction): Column<T> {
  return {
    key: "name",
    title: t("col.name"),
    width: "minmax(9rem, 3fr)",
    sort: "name",
    cell: of => (
      <Link href={`/${encodeURIComponent(of.id)}`} className="name" dir="auto" title={of.name}>
        {of.name}
      </Link>
    ),
  }
}

export function labelsColumn<T extends Resource>(t: TFunction): Column<T> {
  return {
    key: "labels",
    title: t("col.labels"),
    width: "minmax(5rem, 2fr)",
    cell: of => <span title={labelsText(of.labels)}>{labelsText(of.labels) || "–"}</span>,
  }
}

export function createdColumn<T extends Resource>(t: TFunction): Column<T> {
  return {
    key: "created",
    title: t("col.created"),
    width: "9rem",
    sort: "created_at",
    cell: of => <span title={moment(of.created_at)}>{ago(of.created_at)}</span>,
  }
}

export function nameWanted(t: TFunction): Wanted {
  return { key: "name", label: t("resource.search"), path: "name", operator: "~" }
}
