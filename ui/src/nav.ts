/**
 * Nav: the pages, where they are and what loads them. A new page is a line here.
 *
 * Always true    what is not built has no line: no page is empty. High availability and what-if will be lines
 *                of "fleet" and "decisions".
 */
import { type ComponentType, type LazyExoticComponent, lazy } from "react"
import type { Texts } from "./text/en"

export type Place = {
  path: string
  text: keyof Texts["nav"]
  page: LazyExoticComponent<ComponentType>
  /** its own paths behind `path` belong to it too */
  nested?: boolean
}
export type Section = { text: keyof Texts["nav"]; places: Place[] }

export const SECTIONS: Section[] = [
  {
    text: "fleet",
    places: [
      { path: "/overview", text: "overview", page: lazy(() => import("./pages/overview")) },
      { path: "/nodes", text: "nodes", page: lazy(() => import("./pages/nodes")), nested: true },
      { path: "/vms", text: "vms", page: lazy(() => import("./pages/vms")), nested: true },
      { path: "/topology", text: "topology", page: lazy(() => import("./pages/topology")) },
    ],
  },
  {
    text: "resources",
    places: [
      { path: "/images", text: "images", page: lazy(() => import("./pages/images")), nested: true },
      { path: "/volumes", text: "volumes", page: lazy(() => import("./pages/volumes")), nested: true },
      { path: "/pools", text: "pools", page: lazy(() => import("./pages/pools")), nested: true },
      { path: "/networks", text: "networks", page: lazy(() => import("./pages/networks")), nested: true },
      { path: "/profiles", text: "profiles", page: lazy(() => import("./pages/profiles")), nested: true },
    ],
  },
  {
    text: "decisions",
    places: [
      { path: "/rebalance", text: "rebalance", page: lazy(() => import("./pages/rebalance")), nested: true },
      { path: "/groups", text: "groups", page: lazy(() => import("./pages/groups")), nested: true },
      { path: "/policies", text: "policies", page: lazy(() => import("./pages/policies")), nested: true },
    ],
  },
  {
    text: "record",
    places: [
      {
        path: "/operations",
        text: "operations",
        page: lazy(() => import("./pages/operations")),
        nested: true,
      },
      { path: "/events", text: "events", page: lazy(() => import("./pages/events")) },
      { path: "/tokens", text: "tokens", page: lazy(() => import("./pages/tokens")) },
    ],
  },
]
