/**
 * Overview: the whole installation on one page; where nothing is yet, how to begin.
 *
 * Comes in       the overview and the cells of all nodes (api/fleet.ts), live; operations and events
 * Always true    figures and the heat map come first; what takes longer to load (the chart) comes behind them
 */
import { Card, CardBody, CardTitle, Label, Skeleton } from "@patternfly/react-core"
import { useTranslation } from "react-i18next"
import { Link } from "wouter"
import { readFleet, useCells, useOverview, type Whole } from "../../api/fleet"
import { count } from "../../look/format"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { Fence, Trouble } from "../../parts/trouble"
import { AttentionList } from "./attention"
import { BalanceCard } from "./balance"
import { Capacity } from "./capacity"
import { FirstRun } from "./first-run"
import { Flight } from "./flight"
import { HeatMap } from "./heatmap"
import { Recent } from "./recent"
import "./overview.css"

export default function Overview() {
  const { t } = useTranslation()
  const { data, error } = useOverview()
  const cells = useCells()
  if (data?.nodes.total === 0) return <FirstRun />
  return (
    <Page title={t("overview.title")}>
      <Trouble of={error ?? cells.error} onRetry={readFleet} />
      <Tiles whole={data} />
      <Part title={t("overview.heat.title")}>
        <HeatMap columns={cells.data} />
      </Part>
      <div className="overview-pair">
        <Part title={t("overview.attention")} aside={data && count(data.attention_total)}>
          {data ? (
            <AttentionList attention={data.attention} total={data.attention_total} />
          ) : (
            <Skeleton height="10rem" screenreaderText="…" />
          )}
        </Part>
        <Part title={t("overview.capacity")}>
          {data ? (
            <Capacity dimensions={data.dimensions} />
          ) : (
            <Skeleton height="10rem" screenreaderText="…" />
          )}
        </Part>
      </div>
      <div className="overview-pair">
        <Part title={t("overview.flight.title")} aside={data && count(data.operations.running)}>
          <Flight />
        </Part>
        <Part title={t("overview.recent")}>
          <Recent />
        </Part>
      </div>
      <Part title={t("overview.balance.title")}>
        <BalanceCard whole={data} />
      </Part>
    </Page>
  )
}

function Part({
  title,
  aside,
  children,
}: {
  title: string
  aside?: string | undefined
  children: React.ReactNode
}) {
  return (
    <Card component="section" aria-label={title} className="overview-part">
      <CardTitle component="h2">
        {title} {aside !== undefined && <span className="overview-aside">{aside}</span>}
      </CardTitle>
      <CardBody>
        <Fence>{children}</Fence>
      </CardBody>
    </Card>
  )
}

/** How many there are of what, and how they are. */
function Tiles({ whole }: { whole: Whole | undefined }) {
  const { t } = useTranslation()
  if (!whole) return <Skeleton height="5rem" screenreaderText={t("state.loading")} />
  const { nodes, vms, operations, balance, attention_total } = whole
  const critical = whole.attention.filter(a => a.severity === "critical").length
  return (
    <div className="overview-tiles">
      <Tile title={t("nav.nodes")} figure={count(nodes.total)} to="~/nodes">
        <Phases of={nodes.phases} />
      </Tile>
      <Tile title={t("nav.vms")} figure={count(vms.total)} to="~/vms">
        <Phases of={vms.phases} />
      </Tile>
      <Tile title={t("overview.attention")} figure={count(attention_total)}>
        {critical > 0 ? (
          <Label isCompact status="danger">
            {t("overview.critical", { count: critical })}
          </Label>
        ) : (
          t("overview.nothing_critical")
        )}
      </Tile>
      <Tile title={t("overview.flight.title")} figure={count(operations.running)}>
        {t("overview.failed_lately", { count: operations.failed_lately })}
      </Tile>
      <Tile title={t("overview.balance.short")} figure={balance.now === null ? "–" : balance.now.toFixed(3)}>
        {t("overview.balance.hint")}
      </Tile>
    </div>
  )
}

type TileProps = { title: string; figure: string; to?: string; children: React.ReactNode }

function Tile({ title, figure, to, children }: TileProps) {
  return (
    <Card isCompact className="overview-tile">
      <CardBody>
        <div className="overview-tile-title">{to ? <Link href={to}>{title}</Link> : title}</div>
        <div className="overview-figure">{figure}</div>
        <div className="overview-tile-words">{children}</div>
      </CardBody>
    </Card>
  )
}

function Phases({ of }: { of: Record<string, number> }) {
  const there = Object.entries(of).filter(([, n]) => n > 0)
  return (
    <span className="row">
      {there
        .sort((a, b) => b[1] - a[1])
        .map(([phase, n]) => (
          <span key={phase} className="overview-phase">
            <Phase phase={phase} /> {count(n)}
          </span>
        ))}
    </span>
  )
}
