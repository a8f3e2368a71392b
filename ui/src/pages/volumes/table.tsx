/** The table of volumes, for its own page and for those of pools and images. */
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { useLocation } from "wouter"
import { bytes, percent } from "../../look/format"
import { useChoices, useNames } from "../../parts/choices"
import type { Wanted } from "../../parts/conditions"
import { ResourceLink } from "../../parts/links"
import { NamedLink } from "../../parts/named-link"
import { Phase } from "../../parts/phase"
import { ResourceList, type RowOf } from "../../parts/resource-list"
import { createdColumn, labelsColumn, nameWanted } from "../../parts/usual-columns"
import type { Column } from "../../parts/virtual-table"
import { phaseText } from "../../text"

const PHASES = ["pending", "creating", "ready", "trashed", "failed", "deleting"]

export type Volume = RowOf<"Volume">

/** What it was called before it went into the trash. */
export function nameOf(of: Volume): string {
  return of.spec.trash?.name ?? of.name
}

type Props = { always?: string; emptyAction?: React.ReactNode }

export function VolumeTable({ always, emptyAction }: Props) {
  const { t } = useTranslation()
  const [, go] = useLocation()
  const pools = useNames("StoragePool")
  const poolChoices = useChoices("StoragePool")
  const wanted = useMemo<Wanted[]>(
    () => [
      nameWanted(t),
      {
        key: "phase",
        label: t("col.phase"),
        path: "status.phase",
        operator: "=",
        choices: PHASES.map(value => ({ value, label: phaseText(t, value) })),
      },
      ...(always
        ? []
        : ([
            { key: "pool", label: t("volumes.pool"), path: "spec.pool", operator: "=", choices: poolChoices },
          ] satisfies Wanted[])),
    ],
    [t, always, poolChoices],
  )
  const columns = useMemo<Column<Volume>[]>(
    () => [
      {
        key: "name",
        title: t("col.name"),
        width: "minmax(11rem, 3fr)",
        sort: "name",
        cell: of => <ResourceLink of={{ kind: "Volume", id: of.id, name: nameOf(of) }} />,
      },
      {
        key: "phase",
        title: t("col.phase"),
        width: "8rem",
        sort: "status.phase",
        cell: of => <Phase phase={of.status?.phase} />,
      },
      {
        key: "size",
        title: t("col.size"),
        width: "6rem",
        sort: "spec.size_bytes",
        align: "end",
        cell: of => bytes(of.spec.size_bytes),
      },
      {
        key: "taken",
        title: t("volumes.taken"),
        width: "6rem",
        align: "end",
        cell: of => bytes(of.status?.report?.allocated_bytes),
      },
      {
        key: "pool",
        title: t("volumes.pool"),
        width: "minmax(7rem, 1fr)",
        cell: of => (
          <ResourceLink of={{ kind: "StoragePool", id: of.spec.pool, name: pools.get(of.spec.pool) }} />
        ),
      },
      {
        key: "vm",
        title: t("volumes.vm"),
        width: "minmax(9rem, 2fr)",
        cell: of => (of.status?.moving_to ? <Moving of={of} /> : <NamedLink kind="VM" id={of.spec.vm} />),
      },
      labelsColumn(t),
      createdColumn(t),
    ],
    [t, pools],
  )
  return (
    <ResourceList
      kind="Volume"
      label={t("volumes.title")}
      columns={columns}
      wanted={wanted}
      empty={t("volumes.empty")}
      emptyAction={emptyAction}
      {...(always ? { always } : {})}
      onOpen={of => go(`~/volumes/${of.id}`)}
    />
  )
}

function Moving({ of }: { of: Volume }) {
  const { t } = useTranslation()
  const to = of.status?.moving_to ? of.status.elsewhere?.[of.status.moving_to] : undefined
  return <>{`${t("phase.moving")} ${percent(to?.progress)}`}</>
}
