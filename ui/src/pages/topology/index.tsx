/**
 * Topology: nodes, networks and VMs of one part of the fleet as a picture; a click opens what it is about.
 *
 * Always true    what the picture shows stands below it as links too, for the keyboard and for who can't see it
 * Next door      scope.ts reads the part, graph.ts draws it up, purely
 */
import { FormSelect, FormSelectOption, TextInput } from "@patternfly/react-core"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { useLocation, useSearchParams } from "wouter"
import { useAll, useWindow } from "../../api/cache"
import { useCells } from "../../api/fleet"
import { useTheme } from "../../look/theme"
import { Chart } from "../../parts/chart"
import { pageOf, ResourceLink } from "../../parts/links"
import { Page } from "../../parts/page"
import { Phase } from "../../parts/phase"
import { PHASES } from "../overview/colours"
import { type Graph, graphOf, type Item, placed, spread } from "./graph"
import { type Part, SCOPES, type Scope, useScope } from "./scope"
import "./topology.css"

const SUGGESTED = 50
const WIDTH = 860 // as much as the picture has between its margins on a usual screen
const HEIGHT = 480
const KINDS = ["Network", "Node", "VM"] as const
const SYMBOL = { Network: "diamond", Node: "roundRect", VM: "circle" } as const
const SIZE = { Network: 26, Node: 24, VM: 13 } as const

export default function Topology() {
  const { t } = useTranslation()
  const [part, choose] = usePart()
  const { nodes, vms, networks, hidden, missing } = useScope(part)
  const drawn = JSON.stringify(graphOf({ nodes, vms, networks })) // figures change all the time, this seldom
  const graph = useMemo(() => JSON.parse(drawn) as Graph, [drawn])
  return (
    <Page title={t("topology.title")}>
      <Chooser part={part} choose={choose} />
      {missing ? (
        <p role="status">{t("topology.missing", { name: part.name })}</p>
      ) : (
        <>
          {hidden > 0 && <p role="status">{t("topology.hidden", { count: hidden })}</p>}
          <Picture graph={graph} name={part.name} />
          <Listed graph={graph} />
        </>
      )}
    </Page>
  )
}

/** What is in the picture, kept in the address; to begin with, the first rack. */
function usePart(): [Part, (part: Part) => void] {
  const { data: cells } = useCells()
  const [params, setParams] = useSearchParams()
  const scope = SCOPES.find(s => s === params.get("of")) ?? "rack"
  const name = params.get("name") ?? (scope === "rack" ? (cells?.racks[0] ?? "") : "")
  return [{ scope, name }, next => setParams({ of: next.scope, name: next.name }, { replace: true })]
}

function Chooser({ part: { scope, name }, choose }: { part: Part; choose: (part: Part) => void }) {
  const { t } = useTranslation()
  const suggested = useSuggested(scope, name)
  return (
    <div className="row">
      <FormSelect
        className="topology-scope"
        aria-label={t("topology.scope")}
        value={scope}
        onChange={(_, value) => choose({ scope: value as Scope, name: "" })}
      >
        {SCOPES.map(s => (
          <FormSelectOption key={s} value={s} label={t(`topology.of.${s}`)} />
        ))}
      </FormSelect>
      <div className="topology-name">
        <TextInput
          aria-label={t("topology.name")}
          placeholder={t("topology.name")}
          value={name}
          list="topology-names"
          onChange={(_, value) => choose({ scope, name: value })}
        />
      </div>
      <datalist id="topology-names">
        {suggested.map(s => (
          <option key={s} value={s} />
        ))}
      </datalist>
    </div>
  )
}

function useSuggested(scope: Scope, typed: string): string[] {
  const { data: cells } = useCells()
  const networks = useAll("Network").data?.items ?? []
  const filter = scope === "vm" && /^[\w.-]+$/.test(typed) ? `name~${typed}` : scope === "vm" ? "" : "id=none"
  const vms = useWindow("VM", { sort: "name", filter }, 0, SUGGESTED - 1)
  if (scope === "vm")
    return Array.from({ length: Math.min(SUGGESTED, vms.total) }, (_, n) => vms.row(n)?.name ?? "")
  const all = scope === "rack" ? cells?.racks : scope === "node" ? cells?.names : networks.map(n => n.name)
  return [...new Set(all)].filter(n => n !== "" && n.includes(typed)).slice(0, SUGGESTED)
}

function Picture({ graph, name }: { graph: Graph; name: string }) {
  const { t } = useTranslation()
  const theme = useTheme()
  const [, go] = useLocation()
  const option = useMemo(() => {
    const colour = ({ kind, phase }: Item) =>
      kind === "Network" ? "#7a5cd6" : (PHASES[theme][phase] ?? (phase === "running" ? "#4394e5" : "#8a8d90"))
    const few = graph.items.length <= 80
    return {
      tooltip: { formatter: (on: { name?: string; data?: { word?: string } }) => on.data?.word ?? "" },
      series: [
        {
          type: "graph",
          layout: "none",
          roam: true,
          left: 60,
          right: 140,
          top: 20,
          bottom: 20,
          emphasis: { focus: "adjacency" },
          label: {
            show: true,
            position: "right",
            color: theme === "dark" ? "#e0e0e0" : "#292929",
            formatter: (on: { data: { word: string; kind: string } }) =>
              few || on.data.kind !== "VM" ? on.data.word : "",
          },
          lineStyle: { color: theme === "dark" ? "#6a6e73" : "#a3a3a3", width: 1 },
          data: spread(placed(graph), WIDTH, HEIGHT).map(p => ({
            id: p.id,
            name: p.id,
            word: p.name,
            kind: p.kind,
            x: p.x,
            y: p.y,
            symbol: SYMBOL[p.kind],
            symbolSize: SIZE[p.kind],
            itemStyle: { color: colour(p) },
          })),
          links: graph.links.map(([source, target]) => ({ source, target })),
        },
      ],
    }
  }, [graph, theme])
  const counts = KINDS.map(kind => graph.items.filter(i => i.kind === kind).length)
  const label = t("topology.label", { name, networks: counts[0], nodes: counts[1], vms: counts[2] })
  if (graph.items.length === 0) return <p role="status">{t("topology.choose")}</p>
  return (
    <Chart
      option={option}
      label={label}
      height={520}
      onClick={({ data }) => {
        const { kind, id } = data as { kind?: string; id?: string }
        const to = kind && id ? pageOf({ kind, id }) : ""
        if (to) go(to)
      }}
    />
  )
}

function Listed({ graph }: { graph: Graph }) {
  const { t } = useTranslation()
  return (
    <div className="topology-listed">
      {KINDS.map(kind => {
        const items = graph.items.filter(i => i.kind === kind)
        if (items.length === 0) return null
        const title = t(`topology.kind.${kind}`)
        return (
          <section key={kind} aria-label={title}>
            <h2>
              {title} ({items.length})
            </h2>
            <ul>
              {items.map(one => (
                <li key={one.id}>
                  <ResourceLink of={one} /> {one.phase && <Phase phase={one.phase} />}
                </li>
              ))}
            </ul>
          </section>
        )
      })}
    </div>
  )
}
